"""DICOM pictures are right (checked against the standard's formulas, by hand) and name no patient."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure
from connectors.loaders.dicom import DICOMLoader, codestream_size
from connectors.page import Page
from embedder.errors import InputError

PATIENT = "NGUYEN^VAN^BENH^NHAN"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def packaged(name: str) -> Path:
    """A file that pydicom's wheel contains."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def dataset(stored: np.ndarray[Any, np.dtype[Any]], **elements: Any) -> FileDataset:
    """A CT-like data set of [rows, columns] or [frames, rows, columns] stored values, full of patient data."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT_CLASS, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = CT_CLASS, "1.2.3"
    made.PatientName, made.PatientID, made.PatientBirthDate = PATIENT, "ID4711", "19700131"
    made.ReferringPhysicianName, made.InstitutionName = "DOC^TOR", "BENHVIEN"
    made.StudyDescription, made.ImageComments = f"control of {PATIENT}", PATIENT
    made.Modality, made.BodyPartExamined = "CT", "CHEST"
    made.Rows, made.Columns = stored.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = stored.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    made.PixelData = stored.tobytes()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def saved(path: Path, *arguments: Any, **elements: Any) -> Path:
    dataset(*arguments, **elements).save_as(path, enforce_file_format=True)
    return path


def read(path: Path, **options: Any) -> list[Page | PageFailure]:
    return list(DICOMLoader(**options).pages(path))


def gray(page: Page | PageFailure) -> np.ndarray[Any, np.dtype[np.uint8]]:
    assert isinstance(page, Page) and page.image is not None and page.image.mode == "RGB"
    shown = np.asarray(page.image)
    assert (shown == shown[..., :1]).all()
    return shown[..., 0]


def linear(values: np.ndarray[Any, Any], centre: float, width: float) -> np.ndarray[Any, Any]:
    """PS3.3 C.11.2.1.2.1, to 0..255."""
    return np.clip(((values - (centre - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)


RAMP = np.arange(0, 4096, 16, dtype=np.int16).reshape(16, 16)


@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600, 1500), (0.5, 1), (1000, 4000)])
def test_the_window_of_the_file(tmp_path: Path, centre: float, width: float) -> None:
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    path = saved(tmp_path / "w.dcm", RAMP, WindowCenter=centre, WindowWidth=width, **rescale)
    (page,) = read(path)
    hounsfield = RAMP.astype(float) - 1024
    expected = linear(hounsfield, centre, width) if width > 1 else (hounsfield > centre - 0.5) * 255.0
    assert np.abs(gray(page) - expected).max() <= 1


def test_window_functions(tmp_path: Path) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    exact = gray(read(saved(tmp_path / "e.dcm", RAMP, VOILUTFunction="LINEAR_EXACT", **window))[0])
    assert np.abs(exact - np.clip(((RAMP - 2000) / 1000 + 0.5) * 255, 0, 255)).max() <= 1
    sigmoid = gray(read(saved(tmp_path / "s.dcm", RAMP, VOILUTFunction="SIGMOID", **window))[0])
    assert np.abs(sigmoid - 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))).max() <= 1


def test_the_first_of_several_windows(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.dcm", RAMP, WindowCenter=[450, 2000], WindowWidth=[790, 4000])
    (page,) = read(path)
    assert np.abs(gray(page) - linear(RAMP, 450, 790)).max() <= 1
    assert isinstance(page, Page) and page.metadata["window"] == "centre 450 width 790 of the file"


def test_a_real_file_with_several_windows() -> None:
    path = packaged("examples_overlay.dcm")
    source = pydicom.dcmread(path)
    centre, width = float(source.WindowCenter[0]), float(source.WindowWidth[0])
    values = source.pixel_array * float(source.get("RescaleSlope", 1)) + float(source.get("RescaleIntercept", 0))
    assert np.abs(gray(read(path)[0]) - linear(values, centre, width)).max() <= 1


def test_ct_without_window_gets_a_preset(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.dcm", RAMP, RescaleSlope=1, RescaleIntercept=-1024)
    hounsfield = RAMP.astype(float) - 1024
    assert np.abs(gray(read(path)[0]) - linear(hounsfield, 40, 400)).max() <= 1
    assert np.abs(gray(read(path, ct_window="lung")[0]) - linear(hounsfield, -600, 1500)).max() <= 1
    assert np.abs(gray(read(path, ct_window=(300.0, 2000.0))[0]) - linear(hounsfield, 300, 2000)).max() <= 1
    with pytest.raises(InputError, match=r"no CT window named 'liver'.*lung"):
        DICOMLoader(ct_window="liver")


def test_without_window_the_percentiles_are_shown(tmp_path: Path) -> None:
    stored = RAMP.copy()
    stored[0, 0] = 32000  # one hot pixel must not make the picture black
    (page,) = read(saved(tmp_path / "q.dcm", stored, Modality="MR"))
    low, high = np.percentile(stored, (0.5, 99.5))
    assert np.abs(gray(page) - np.clip((stored - low) / (high - low) * 255, 0, 255)).max() <= 1
    assert gray(page).std() > 60


@pytest.mark.parametrize("window", [{"WindowWidth": 0, "WindowCenter": 100}, {"WindowWidth": 50, "WindowCenter": 9999}])
def test_a_window_that_shows_nothing_is_not_used(tmp_path: Path, window: dict[str, float]) -> None:
    assert gray(read(saved(tmp_path / "n.dcm", RAMP, Modality="MR", **window))[0]).std() > 60


def test_monochrome1_is_the_negative_of_monochrome2(tmp_path: Path) -> None:
    window = {"WindowCenter": 1000, "WindowWidth": 1500}
    two = gray(read(saved(tmp_path / "2.dcm", RAMP, **window))[0])
    one = gray(read(saved(tmp_path / "1.dcm", RAMP, PhotometricInterpretation="MONOCHROME1", **window))[0])
    assert (one == 255 - two).all() and two[0, 0] == 0 and one[0, 0] == 255


def test_padding_is_black_also_when_inverted(tmp_path: Path) -> None:
    stored = RAMP.copy()
    stored[:4] = -2000
    path = saved(
        tmp_path / "pad.dcm", stored, Modality="CR", PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-2000
    )
    shown = gray(read(path)[0])
    assert (shown[:4] == 0).all() and shown[4, 0] == 255


def lut_item(entries: list[int], first: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, "<u2").tobytes()
    return Sequence([item])


def test_voi_table(tmp_path: Path) -> None:
    table = [min(1023, (place * place) // 1024) for place in range(1024)]
    path = saved(tmp_path / "v.dcm", RAMP.astype(np.uint16), VOILUTSequence=lut_item(table, 500, 10))
    expected = np.array(table)[np.clip(RAMP.astype(int) - 500, 0, 1023)] / 1023 * 255
    assert np.abs(gray(read(path)[0]) - expected).max() <= 1


def test_a_long_table_of_8_bit_entries(tmp_path: Path) -> None:
    table = [place // 16 for place in range(4096)]  # pydicom's apply_voi would wrap its index at 256
    path = saved(tmp_path / "v8.dcm", RAMP.astype(np.uint16), VOILUTSequence=lut_item(table, 0, 8))
    assert (gray(read(path)[0]) == RAMP // 16).all()


def test_modality_table_comes_before_the_window(tmp_path: Path) -> None:
    table = list(range(4095, -1, -1))
    path = saved(
        tmp_path / "mod.dcm", RAMP.astype(np.uint16), ModalityLUTSequence=lut_item(table, 0, 12),
        WindowCenter=2048, WindowWidth=4096,
    )  # fmt: skip
    assert np.abs(gray(read(path)[0]) - linear(4095.0 - RAMP, 2048, 4096)).max() <= 1


def test_frames_are_pages_with_their_own_window(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP])
    groups = []
    for centre in (1000, 3000):
        voi, group = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = centre, 1000
        group.FrameVOILUTSequence = Sequence([voi])
        groups.append(group)
    first, second = read(saved(tmp_path / "f.dcm", frames, PerFrameFunctionalGroupsSequence=Sequence(groups)))
    assert np.abs(gray(first) - linear(RAMP, 1000, 1000)).max() <= 1
    assert np.abs(gray(second) - linear(RAMP, 3000, 1000)).max() <= 1


def test_many_frames_are_sampled_evenly(tmp_path: Path) -> None:
    frames = np.arange(100, dtype=np.int16)[:, None, None] + np.zeros((1, 4, 4), np.int16)
    path = saved(tmp_path / "cine.dcm", frames, WindowCenter=50, WindowWidth=101)
    pages = read(path)
    assert len(pages) == 32 and (pages[0].number, pages[-1].number) == (1, 100)
    assert all(abs(int(gray(page)[0, 0]) - (page.number - 1) * 2.55) < 3 for page in pages)
    assert isinstance(pages[3], Page)
    assert pages[3].metadata["frames"] == 100 and pages[3].metadata["frames_read"] == 32
    assert [page.number for page in read(path, max_frames=3)] == [1, 51, 100]
    assert len(read(path, max_frames=1)) == 1
    assert [page.number for page in DICOMLoader(max_frames=100).pages(path, first=99)] == [99, 100]


def test_a_missing_frame_does_not_cost_the_others(tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.dcm", np.zeros((4, 64, 64), np.int16) + RAMP.repeat(4, 0).repeat(4, 1))
    path.write_bytes(path.read_bytes()[: -64 * 64 * 2 - 100])
    pages = read(path)
    assert [page.number for page in pages] == [1, 2, 3, 4]
    assert isinstance(pages[0], Page) and isinstance(pages[3], PageFailure)


PACKAGED_IMAGES = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "JPEG2000.dcm", "examples_palette.dcm", "examples_rgb_color.dcm",
    "examples_ybr_color.dcm", "examples_jpeg2k.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_32bit.dcm", "image_dfl.dcm",
    "ExplVR_BigEnd.dcm", "liver_1frame.dcm", "rtdose.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", PACKAGED_IMAGES)
def test_pydicoms_own_files_show_something(name: str) -> None:
    for page in read(packaged(name)):
        assert isinstance(page, Page) and page.image is not None
        assert np.asarray(page.image).std() > 1
        assert page.metadata["window"]


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_bigendian", "MR_small_implicit"])
def test_the_same_image_in_another_transfer_syntax_has_the_same_hash(name: str) -> None:
    (one,), (other,) = read(packaged("MR_small.dcm")), read(packaged(f"{name}.dcm"))
    assert isinstance(one, Page) and isinstance(other, Page)
    assert one.content_sha256 == other.content_sha256


def test_colour_is_right() -> None:
    """The test card of pydicom's SC_rgb files begins with a red bar, in every encoding and depth."""
    for name in ("SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm"):
        (page,) = read(packaged(name))
        assert isinstance(page, Page) and page.image is not None
        assert page.image.getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=3), name


def test_palette_colour() -> None:
    path = packaged("examples_palette.dcm")
    source = pydicom.dcmread(path)
    colours = pydicom.pixels.apply_color_lut(source.pixel_array, source)
    depth = 2 ** int(source.RedPaletteColorLookupTableDescriptor[2]) - 1
    (page,) = read(path)
    assert isinstance(page, Page) and page.image is not None
    assert np.abs(np.asarray(page.image) - colours / depth * 255).max() <= 1


def test_no_patient_in_any_field(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.dcm", RAMP, ViewPosition="AP", BurnedInAnnotation="NO")
    (page,) = read(path)
    assert isinstance(page, Page)
    assert page.text == "CT CHEST"
    assert set(page.metadata) == {"modality", "body_part", "view_position", "burned_in_annotation", "window"}
    (node,) = DICOMLoader(image_dir=tmp_path / "images").load_data(path)
    everything = node.to_json() + str(page)
    for secret in ("NGUYEN", "BENH", "4711", "1970", "DOC", "control"):
        assert secret not in everything.replace(str(tmp_path), "")


def test_free_text_in_a_code_element_is_not_passed_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.dcm", RAMP, BodyPartExamined="Mr. John Doe")
    (page,) = read(path)
    assert isinstance(page, Page) and page.text == "CT" and "body_part" not in page.metadata


@pytest.mark.parametrize(
    ("name", "what"),
    [("rtplan.dcm", "RT Plan Storage"), ("test-SR.dcm", "SR Storage"), ("waveform_ecg.dcm", "ECG Waveform Storage")],
)
def test_objects_without_image(name: str, what: str) -> None:
    with pytest.raises(DocumentError, match=rf"{name}: has no image .*{what}"):
        read(packaged(name))


def test_a_dicomdir_points_to_its_files() -> None:
    with pytest.raises(DocumentError, match=r"is a DICOMDIR .*index the image files it lists"):
        read(packaged("DICOMDIR"))


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    strange = dataset(RAMP)
    strange.save_as(tmp_path / "s.dcm", enforce_file_format=True)
    data = (tmp_path / "s.dcm").read_bytes().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.9\x00")
    (tmp_path / "s.dcm").write_bytes(data)
    with pytest.raises(DocumentError, match=r"s\.dcm: its pixels are stored as .*cannot be decoded"):
        read(tmp_path / "s.dcm")


def test_huge_declared_size_is_refused_undecoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "bomb.dcm", RAMP, Rows=65000, Columns=65000)
    with pytest.raises(DocumentError, match=r"bomb\.dcm: decompression bomb\? 65000x65000 pixels.*refused"):
        read(path)


def jpeg(side: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (side, side), 200).save(buffer, "jpeg")
    return buffer.getvalue()


def test_a_frame_larger_than_the_header_says_is_refused_undecoded(tmp_path: Path) -> None:
    bomb = dataset(RAMP.astype(np.uint8))
    bomb.PixelData = pydicom.encaps.encapsulate([jpeg(1500)])
    bomb["PixelData"].is_undefined_length = True
    bomb.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    bomb.save_as(tmp_path / "liar.dcm", enforce_file_format=True)
    with pytest.raises(DocumentError, match=r"decompression bomb.*1500x1500"):
        read(tmp_path / "liar.dcm", max_image_pixels=1_000_000)


def test_codestream_sizes() -> None:
    assert codestream_size(jpeg(30)) == (30, 30)
    for name, size in (("JPEG2000.dcm", (256, 1024)), ("MR_small_jpeg_ls_lossless.dcm", (64, 64))):
        data = pydicom.dcmread(packaged(name)).PixelData
        assert codestream_size(pydicom.encaps.get_frame(data, 0, number_of_frames=1)) == size
    assert codestream_size(b"") is codestream_size(b"\xff\xd8\xff") is codestream_size(bytes(99)) is None


def test_a_deflate_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    small = dataset(RAMP)
    small.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    small.save_as(tmp_path / "z.dcm", enforce_file_format=True)
    head = (tmp_path / "z.dcm").read_bytes()
    meta_end = 144 + pydicom.dcmread(tmp_path / "z.dcm").file_meta.FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(packer.compress(bytes(1_000_000)) for _ in range(20)) + packer.flush()
    (tmp_path / "z.dcm").write_bytes(head[:meta_end] + body)
    with pytest.raises(DocumentError, match=r"bomb.*inflates to over 8 MB"):
        read(tmp_path / "z.dcm", max_image_pixels=1_000_000)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_jp2klossless.dcm"])
def test_a_file_without_preamble(tmp_path: Path, name: str) -> None:
    (tmp_path / "bare.dcm").write_bytes(packaged(name).read_bytes()[132:])
    (one,), (other,) = read(packaged(name)), read(tmp_path / "bare.dcm")
    assert isinstance(one, Page) and isinstance(other, Page)
    assert one.content_sha256 == other.content_sha256


@pytest.mark.parametrize("content", [b"nothing medical" * 30, bytes(300), bytes(128) + b"DICM" + b"\xff" * 90])
def test_what_is_no_dicom_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    with pytest.raises(DocumentError, match=r"x\.dcm: (is no|has no)") as caught:
        read(tmp_path / "x.dcm")
    assert "\n" not in str(caught.value)


def test_pydicom_keeps_quiet(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    for name in ("badVR.dcm", "MR_truncated.dcm", "no_meta.dcm", "CT_small.dcm"):
        try:
            read(packaged(name))
        except DocumentError:
            continue
    assert capfd.readouterr() == ("", "") and not list(recwarn)
