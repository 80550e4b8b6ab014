"""What the forms are asked, in Vietnamese, each with the file that answers it and the value that is right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .amounts import shown
from .people import Person, day_shown


@dataclass(frozen=True)
class FieldQuestion:
    """A question for one field of one form.

    Attributes:
        form: the form's file name without its suffix.
        value: what the field holds, as it is written on the form.
    """

    text: str
    form: str
    value: str


def questions(people: Sequence[Person]) -> list[FieldQuestion]:
    """Nine questions for each person, over all four forms."""
    return [question for number, person in enumerate(people, start=1) for question in _of(person, f"{number:02d}")]


def _of(person: Person, number: str) -> Iterator[FieldQuestion]:
    name, licence, invoice, claim = person.name, person.licence, person.invoice, person.claim
    identity, driving, bill, damage = (
        f"{kind}-{number}" for kind in ("to-khai-can-cuoc", "giay-phep-lai-xe", "hoa-don-gtgt", "yeu-cau-boi-thuong")
    )
    expires = day_shown(licence.expires) if licence.expires else "không thời hạn"
    yield FieldQuestion(f"Số căn cước trên tờ khai căn cước của {name} là gì?", identity, person.id_number)
    yield FieldQuestion(f"Tờ khai căn cước: nơi đăng ký khai sinh của {name} ở đâu?", identity, person.birthplace)
    yield FieldQuestion(f"Giấy phép lái xe của {name} hạng gì?", driving, licence.grade)
    yield FieldQuestion(f"Giấy phép lái xe số {licence.number} có giá trị đến ngày nào?", driving, expires)
    yield FieldQuestion(
        f"Tổng tiền thanh toán trên hoá đơn số {invoice.number} là bao nhiêu?", bill, shown(invoice.total)
    )
    yield FieldQuestion(f"Mã số thuế của người bán trên hoá đơn số {invoice.number}?", bill, invoice.seller_tax)
    yield FieldQuestion(f"Số tiền yêu cầu bồi thường của {name} là bao nhiêu?", damage, shown(claim.total))
    yield FieldQuestion(f"Biển số xe trong giấy yêu cầu bồi thường của {name}?", damage, claim.plate)
    yield FieldQuestion(f"Hợp đồng bảo hiểm số {claim.policy}: tai nạn xảy ra ở đâu?", damage, claim.place)
