"""Names that certain words make sure: Vietnamese organisations by their first words, and of languages that the rules do
not read, what legal forms, titles and first names speak for."""

from collections.abc import Iterator

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.rules_lines import Candidate, Word, head_length, made, written
from vipylo_rag.graph.rules_roles import is_syllable, strong_role_length


def organisation_at(line: list[Word], n: int, head: int) -> tuple[Candidate, int] | None:
    """ "Công ty TNHH Cơ khí Minh Long": from its first word to the last capitalised one."""
    at, end, own = n + head, 0, 0
    capitals = all(word.capitals for word in line[n : n + head])
    while (
        at < len(line)
        and at - n < 16
        and line[at].joined
        and (not line[at].opens or line[at].gap.strip() in {"-", "–", "&"})
    ):
        word = line[at]
        inner = word.folded in words.ORGANISATION_INNER
        # "Sở Lao động - Thương binh và Xã hội", but "Sở Y tế - Hà Nội, Chủ tịch"
        if word.folded in words.VIETNAMESE_PLACES_IN_TEXTS:  # "Bộ luật Lao động và Điều 3"
            break
        if (word.gap.strip() in ("-", "–") and (not inner or head_length(line, at))) or (
            strong_role_length(line, at)  # "Công ty Minh Long và Chủ tịch", but "Công ty Quản lý Nhà đất"
        ):
            break
        if word.capital and (word.capitals or not capitals or word.folded in ("tnhh", "mtv", "cp")):
            # A new head inside: "Công ty A và Ngân hàng B"
            if at > n + head and head_length(line, at) and line[at - 1].folded in ("và", "với"):
                break
            end = at + 1
            own += word.folded not in ("tnhh", "mtv", "cp")
            # "Bộ Y tế", "Sở Xây dựng": only a compound's first syllable has a capital
            if at + 1 < len(line) and line[at + 1].joined and not line[at + 1].capital and inner is not None:
                after = line[at + 1]
                if (
                    after.folded in words.ORGANISATION_INNER
                    and after.folded not in ("và", "một", "hai")
                    and word.folded not in ("tnhh", "mtv", "cp")
                ):
                    end = at + 2
        elif not inner and not _ends_trade(line, n + head, at):
            break
        at += 1
    if not end or not own:
        return None
    while end > n + head and line[end - 1].folded in ("và", "&"):
        end -= 1
    short = head == 1 and line[n].folded in ("bộ", "sở", "cục", "viện", "trường")
    if short and not line[n].capital:
        return None  # "một bộ Phụ kiện"
    return Candidate(written(line, n, end), line[n].start, line[end - 1].end, sure=own > 0), end


def _ends_trade(line: list[Word], first: int, at: int) -> bool:
    """Whether a word is the second syllable of what an organisation trades in, behind its head and before its name, as
    "bì" in "Công ty Cổ phần Bao bì Sông Hồng" and not "thuê" in "Công ty Hoa Sen thuê Nguyễn Văn An"."""
    if at + 1 >= len(line) or at <= first:
        return False
    if at - 1 > first and line[at - 2].capital and not line[at - 2].capitals:
        return False
    before, word, after = line[at - 1], line[at], line[at + 1]
    return (
        before.capital
        and not before.capitals
        and after.capital
        and after.joined
        and not after.opens
        and after.gap.strip() == ""
        and all(is_syllable(one.folded) for one in (before, word, after))
        and word.folded not in words.VIETNAMESE_IDLE | words.VIETNAMESE_BEHIND_NAMES
    )


def foreign_names(line: list[Word]) -> Iterator[Candidate]:
    """Of a language that the rules do not read, the names that more than capitals speak for: of several words, with a
    company's legal form, behind a person's title, or beginning with a frequent first name."""
    n = 0
    while n < len(line):
        if not line[n].capital:
            n += 1
            continue
        end = n + 1
        while end < len(line) and line[end].capital and line[end].joined and not line[end].opens and end - n < 6:
            end += 1
        first, last = n, end
        while last > n and line[last - 1].folded not in words.FOREIGN_SUFFIXES:
            last -= 1
        while first < end and line[first].folded in words.FOREIGN_TITLES:
            first += 1
        if last - n > 1 and any(word.folded not in words.FOREIGN_SUFFIXES for word in line[n:last]):
            yield from made(line, n, last, sure=True)
        elif 2 <= end - first <= 4 and (first > n or line[first].text in words.FIRST_NAMES):
            yield from made(line, first, end, sure=True)
        n = end
