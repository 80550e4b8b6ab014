"""DICOM: slices find their order, no one is named unasked, written data are warned of, all codecs give the same."""

import io
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless

from connectors.loaders.dicom import DICOMLoader
from connectors.page import Page
from embedder.errors import InputError
from tests.connectors.test_loaders_dicom import RAMP, dataset, gray, read, saved


def slices(folder: Path) -> list[Path]:
    """Three slices of one series, stored in the wrong order, and one of another series."""
    paths = []
    for instance, height, series in ((3, 10.0, "1.2.9"), (1, -5.0, "1.2.9"), (2, 2.5, "1.2.9"), (1, 0.0, "1.2.8")):
        path = folder / f"{len(paths)}.dcm"
        saved(
            path, RAMP, StudyInstanceUID="1.2", SeriesInstanceUID=series, SeriesNumber=4, InstanceNumber=instance,
            ImagePositionPatient=[-100, -100, height], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )  # fmt: skip
        paths.append(path)
    return paths


def test_slices_of_a_series_can_be_put_in_order(tmp_path: Path) -> None:
    pages = [page for path in slices(tmp_path) for page in read(path) if isinstance(page, Page)]
    first, *_, other = (page.metadata for page in pages)
    assert first["series"] != other["series"] and first["study"] == other["study"]
    series = sorted(
        (page for page in pages if page.metadata["series"] == first["series"]),
        key=lambda page: page.metadata["slice_position"],
    )
    assert [page.metadata["instance_number"] for page in series] == [1, 2, 3]
    assert {page.metadata["plane"] for page in series} == {"axial"} and first["series_number"] == 4
    assert "1.2.9" not in str(pages)


@pytest.mark.parametrize(
    ("orientation", "plane", "place"),
    [
        ([1, 0, 0, 0, 1, 0], "axial", 30),
        ([1, 0, 0, 0, -1, 0], "axial", 30),  # seen from the other side: still counted towards the head
        ([1, 0, 0, 0, 0, -1], "coronal", 20),
        ([0, 1, 0, 0, 0, -1], "sagittal", 10),
    ],
)
def test_planes(tmp_path: Path, orientation: list[int], plane: str, place: float) -> None:
    path = saved(tmp_path / "p.dcm", RAMP, ImagePositionPatient=[10, 20, 30], ImageOrientationPatient=orientation)
    (page,) = read(path)
    assert isinstance(page, Page)
    assert page.metadata["plane"] == plane and page.metadata["slice_position"] == pytest.approx(place)


def test_frames_of_a_volume_have_their_own_place(tmp_path: Path) -> None:
    groups = []
    for height in (7.0, 3.5):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, height]
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    axes, shared = Dataset(), Dataset()
    axes.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = Sequence([axes])
    path = saved(
        tmp_path / "v.dcm", np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=Sequence(groups),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )  # fmt: skip
    assert [page.metadata["slice_position"] for page in read(path) if isinstance(page, Page)] == [7.0, 3.5]


def test_asked_tags_are_told_and_no_others(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.dcm", RAMP)
    (page,) = read(path, tags=("StudyDescription", "PatientBirthDate", "WindowCenter"))
    assert isinstance(page, Page)
    assert page.metadata["study_description"].startswith("control of") and page.text.startswith("CT CHEST\ncontrol of")
    assert page.metadata["patient_birth_date"] == "19700131"
    assert "ID4711" not in str(page) and "window_center" not in page.metadata
    for wrong, reason in (("Study Description", "is called"), ("PixelData", "no text"), ("VOILUTSequence", "no text")):
        with pytest.raises(InputError, match=reason):
            DICOMLoader(tags=(wrong,))


@pytest.mark.parametrize(
    ("elements", "warned"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "YES"}, "shows written data"),
        ({"Modality": "US"}, "may show"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "may show"),
        ({"ConversionType": "SD"}, "may show"),
    ],
)
def test_written_data_in_the_picture_are_warned_of(
    tmp_path: Path, elements: dict[str, str], warned: str | None
) -> None:
    (page,) = read(saved(tmp_path / "x.dcm", RAMP, **elements))
    assert isinstance(page, Page)
    assert (warned in page.metadata["warning"]) if warned else ("warning" not in page.metadata)


def test_8_bits_of_an_ultrasound_are_shown_as_they_are(tmp_path: Path) -> None:
    stored = np.arange(60, 188, dtype=np.uint8).reshape(8, 16)
    (page,) = read(saved(tmp_path / "us.dcm", stored, Modality="US"))
    assert (gray(page) == stored).all()
    (page,) = read(saved(tmp_path / "mr.dcm", stored, Modality="MR"))
    assert gray(page).min() == 0 and gray(page).max() == 255


def test_counts_begin_at_zero(tmp_path: Path) -> None:
    stored = np.full((100, 100), 5, np.uint16)
    stored[:50] = np.linspace(5, 1000, 5000).reshape(50, 100)
    stored[0, :10] = 60_000  # a hot spot
    (page,) = read(saved(tmp_path / "pt.dcm", stored, Modality="PT"))
    shown = gray(page)
    assert shown[60, 0] in (1, 2) and shown[49, 99] > 230


def test_frames_deflated_each_by_itself(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1]])
    made = dataset(frames, WindowCenter=2048, WindowWidth=4096)
    packer = [zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS) for _ in frames]
    packed = [one.compress(frame.tobytes()) + one.flush() for one, frame in zip(packer, frames, strict=True)]
    made.PixelData = pydicom.encaps.encapsulate([data + bytes(len(data) % 2) for data in packed])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless  # pydicom does not write what it does not know
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue().replace(JPEG2000Lossless.encode(), b"1.2.840.10008.1.2.8.1\x00")
    (tmp_path / "d.dcm").write_bytes(data)
    plain = read(saved(tmp_path / "p.dcm", frames, WindowCenter=2048, WindowWidth=4096))
    for one, other in zip(read(tmp_path / "d.dcm"), plain, strict=True):
        assert isinstance(one, Page) and isinstance(other, Page) and one.content_sha256 == other.content_sha256


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless", "RLELossless", "JPEG2000Lossless"]
)
def test_lossless_compressions_give_the_same_picture(tmp_path: Path, syntax: str) -> None:
    import gdcm

    plain = saved(tmp_path / "plain.dcm", RAMP.astype(np.uint16), WindowCenter=2048, WindowWidth=4096)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    stored = pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID
    assert stored.is_compressed
    (one,), (other,) = read(plain), read(tmp_path / "packed.dcm")
    assert isinstance(one, Page) and isinstance(other, Page)
    assert one.content_sha256 == other.content_sha256
