"""Invented people and what their papers say: drawn from a seed, consistent with each other, valid nowhere.

Province code 000, tax codes that begin with 0000 and plates that begin with 00 are not given to anybody.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from .amounts import in_words

_FAMILY = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Võ", "Đặng", "Bùi")
_GIVEN = (("Thị Mẫu", "Nữ"), ("Văn Thử", "Nam"), ("Ngọc Ví Dụ", "Nữ"), ("Quốc Giả Định", "Nam"), ("Thu Minh Hoạ", "Nữ"))
_WARDS = ("xã Mẫu Lâm", "phường Bến Thử", "xã Suối Giấy", "phường Cầu Tạm", "xã Đồi Nháp", "phường Hồ Bản Thảo")
_PROVINCES = ("tỉnh Giả Định", "thành phố Sông Mẫu", "tỉnh Vĩnh Thí")
_STREETS = ("đường Bút Chì", "đường Giấy Dó", "phố Hàng Mực", "đường Thước Kẻ", "ngõ Tẩy Trắng")
_CLASSES = ("B", "C1", "A1", "D2", "C")
_SELLERS = (
    ("CÔNG TY TNHH THIẾT BỊ NHÀ MẪU", "Số 8 đường Bảng Vẽ, phường Cầu Tạm, thành phố Sông Mẫu"),
    ("CÔNG TY CỔ PHẦN NỘI THẤT GIẤY DÓ", "Số 41 phố Hàng Mực, phường Bến Thử, thành phố Sông Mẫu"),
    ("CỬA HÀNG ĐIỆN MÁY BẢN NHÁP", "Số 120 đường Thước Kẻ, xã Suối Giấy, tỉnh Vĩnh Thí"),
)
_GOODS = (
    ("Quạt trần năm cánh", "chiếc", 1_850_000),
    ("Đèn bàn học sinh", "chiếc", 265_000),
    ("Máy lọc không khí", "chiếc", 3_490_000),
    ("Tủ sách gỗ thông", "chiếc", 2_780_000),
    ("Ghế xoay lưng lưới", "chiếc", 1_120_000),
    ("Bàn gấp treo tường", "chiếc", 945_000),
    ("Nồi cơm điện 1,8 lít", "chiếc", 1_390_000),
    ("Dây điện đôi 2×2,5", "mét", 18_500),
)
_VEHICLES = ("Mẫu Xa 1.5, màu trắng", "Thử Nghiệm S4, màu xanh", "Ví Dụ Van 7, màu bạc", "Bản Nháp GT, màu đỏ")
_ACCIDENTS = (
    ("Va chạm với dải phân cách khi trời mưa lớn", "ngã tư Bút Chì – Thước Kẻ, phường Cầu Tạm"),
    ("Bị xe tải lùi trúng khi đang đỗ", "bãi xe chợ Bến Thử, thành phố Sông Mẫu"),
    ("Cành cây gãy rơi xuống mui xe", "trước nhà văn hoá xã Đồi Nháp, tỉnh Vĩnh Thí"),
    ("Ngập nước ngang thân xe sau bão", "hầm gửi xe chung cư Giấy Dó, phường Hồ Bản Thảo"),
)
_DAMAGES = (
    ("Thay cản trước và lưới tản nhiệt", 4_200_000, 9_800_000),
    ("Sơn lại cửa bên trái", 1_500_000, 3_600_000),
    ("Thay kính chắn gió", 3_100_000, 7_400_000),
    ("Nắn và sơn mui xe", 2_300_000, 5_900_000),
    ("Thay cụm đèn pha phải", 2_700_000, 6_500_000),
)


@dataclass(frozen=True)
class Licence:
    """A driving licence; `expires` is None for a class that has no term."""

    number: str
    grade: str
    issued: date
    expires: date | None


@dataclass(frozen=True)
class Item:
    """A line of an invoice, in đồng."""

    name: str
    unit: str
    count: int
    price: int

    @property
    def amount(self) -> int:
        """Count times price."""
        return self.count * self.price


@dataclass(frozen=True)
class Invoice:
    """A VAT invoice."""

    symbol: str
    number: str
    day: date
    seller: str
    seller_address: str
    seller_tax: str
    items: tuple[Item, ...]
    vat_percent: int

    @property
    def net(self) -> int:
        """Sum of the lines."""
        return sum(item.amount for item in self.items)

    @property
    def vat(self) -> int:
        """The tax, rounded to whole đồng."""
        return (self.net * self.vat_percent + 50) // 100

    @property
    def total(self) -> int:
        """What is to be paid."""
        return self.net + self.vat


@dataclass(frozen=True)
class Claim:
    """A claim on a motor insurance. `damages` are (what, đồng)."""

    policy: str
    plate: str
    vehicle: str
    day: date
    hour: str
    place: str
    what: str
    damages: tuple[tuple[str, int], ...]
    account: str

    @property
    def total(self) -> int:
        """What is claimed."""
        return sum(amount for _, amount in self.damages)


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist, with a paper of each kind."""

    name: str
    sex: str
    born: date
    id_number: str
    birthplace: str
    home: str
    phone: str
    licence: Licence
    invoice: Invoice
    claim: Claim

    @property
    def total_in_words(self) -> str:
        """The invoice's total, as it is written out."""
        return in_words(self.invoice.total)


def people(count: int, seed: int = 26) -> tuple[Person, ...]:
    """So many different people; the same seed gives the same ones.

    Raises:
        ValueError: more than the names suffice for, or none.
    """
    if not 1 <= count <= len(_GIVEN) * len(_FAMILY):
        raise ValueError(f"count={count}: 1 to {len(_GIVEN) * len(_FAMILY)} people")
    random = Random(seed)
    # The first is Nguyễn Thị Mẫu; given names come round again with another family name.
    names = [(_FAMILY[(i + 2 * (i // len(_GIVEN))) % len(_FAMILY)], *_GIVEN[i % len(_GIVEN)]) for i in range(count)]
    return tuple(_person(random, i, f"{family} {given}", sex) for i, (family, given, sex) in enumerate(names))


def day_shown(day: date) -> str:
    """A date as forms show it."""
    return day.strftime("%d/%m/%Y")


def _person(random: Random, place: int, name: str, sex: str) -> Person:
    born = date(1962, 1, 1) + timedelta(days=random.randrange(15_000))
    ward, province = random.choice(_WARDS), random.choice(_PROVINCES)
    return Person(
        name=name,
        sex=sex,
        born=born,
        id_number=f"000{'1' if sex == 'Nữ' else '0'}{born:%y}{_digits(random, 6)}",
        birthplace=f"{random.choice(_WARDS)}, {random.choice(_PROVINCES)}",
        home=f"Số {random.randrange(2, 190)} {random.choice(_STREETS)}, {ward}, {province}",
        phone=f"0900 000 {_digits(random, 3)}",
        licence=_licence(random, place),
        invoice=_invoice(random, place),
        claim=_claim(random, place),
    )


def _licence(random: Random, place: int) -> Licence:
    grade = _CLASSES[place % len(_CLASSES)]
    issued = date(2025, 1, 6) + timedelta(days=random.randrange(400))
    years = None if grade.startswith("A") else 5 if grade.startswith("D") else 10
    return Licence(
        number=f"000{_digits(random, 9)}",
        grade=grade,
        issued=issued,
        expires=issued + timedelta(days=round(365.25 * years)) if years else None,
    )


def _invoice(random: Random, place: int) -> Invoice:
    seller, address = _SELLERS[place % len(_SELLERS)]
    goods = random.sample(_GOODS, 4)
    items = tuple(
        Item(name, unit, random.randrange(20, 90) if unit == "mét" else random.randrange(1, 5), price)
        for name, unit, price in goods
    )
    return Invoice(
        symbol="0K26TMM",
        number=f"{random.randrange(100, 9_900):08d}",
        day=date(2026, 1, 5) + timedelta(days=random.randrange(150)),
        seller=seller,
        seller_address=address,
        seller_tax=f"0000{_digits(random, 6)}",
        items=items,
        vat_percent=random.choice((8, 10)),
    )


def _claim(random: Random, place: int) -> Claim:
    what, where = _ACCIDENTS[place % len(_ACCIDENTS)]
    damages = tuple((name, random.randrange(low, high, 50_000)) for name, low, high in random.sample(_DAMAGES, 3))
    return Claim(
        policy=f"BH-MAU-2026-{_digits(random, 5)}",
        plate=f"00A-{_digits(random, 3)}.{_digits(random, 2)}",
        vehicle=random.choice(_VEHICLES),
        day=date(2026, 2, 2) + timedelta(days=random.randrange(120)),
        hour=f"{random.randrange(6, 22):02d} giờ {random.choice(('05', '20', '35', '50'))}",
        place=where,
        what=what,
        damages=damages,
        account=f"0000 {_digits(random, 4)} {_digits(random, 4)}",
    )


def _digits(random: Random, count: int) -> str:
    return "".join(str(random.randrange(10)) for _ in range(count))
