"""Fixtures that several of the trainer's tests share."""

from collections.abc import Iterator

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from tests.trainer.small_texts import small_tokenizer, write_small_texts
from trainer.starter.corpus import Corpus, read_corpus


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in a fixed order, and no barriers between threads for tiny products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Small texts of every file kind."""
    return read_corpus(write_small_texts(tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="session")
def tokenizer(corpus: Corpus) -> PreTrainedTokenizerBase:
    """A tokenizer trained on them."""
    return small_tokenizer(corpus)
