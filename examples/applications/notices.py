"""Short documents of five kinds in three languages, made from a seed: what to retrieve, classify and cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

import pymupdf
from PIL import Image

from examples.sample_documents.canvas import GREY, Language, Sheet, face
from examples.sample_documents.effects import render

# Kind -> language -> what such a document says; {n} becomes a number, {d} a day.
SENTENCES: Final[dict[str, dict[Language, tuple[str, ...]]]] = {
    "lease": {
        "vi": (
            "Bên thuê trả tiền thuê căn hộ trước ngày {d} hằng tháng, mỗi tháng {n} triệu đồng.",
            "Tiền đặt cọc bằng {n} tháng tiền thuê và được hoàn lại khi trả nhà.",
            "Chủ nhà sửa mái và đường nước; bên thuê giữ gìn căn hộ sạch sẽ.",
            "Hợp đồng thuê nhà có thời hạn {n} năm kể từ ngày {d}.",
        ),
        "en": (
            "The tenant pays the rent of the flat before day {d} of each month, {n} hundred a month.",
            "The deposit is {n} months of rent and is returned when the tenant moves out.",
            "The landlord repairs roof and pipes; the tenant keeps the flat clean.",
            "The lease of the flat runs for {n} years from day {d}.",
        ),
        "zh": (
            "承租人每月{d}日前支付公寓租金{n}千元。",
            "押金为{n}个月租金，退房时返还承租人。",
            "房东负责修理屋顶和水管，承租人保持公寓清洁。",
            "公寓租赁合同自{d}日起，为期{n}年。",
        ),
    },
    "clinic": {
        "vi": (
            "Bệnh nhân ho và sốt đã {n} ngày, bác sĩ cho chụp phổi.",
            "Uống thuốc kháng sinh {n} viên mỗi ngày sau bữa ăn, tái khám ngày {d}.",
            "Kết quả xét nghiệm máu của bệnh nhân bình thường, huyết áp hơi cao.",
            "Phòng khám hẹn bệnh nhân đến gặp bác sĩ ngày {d}, nhịn ăn trước khi lấy máu.",
        ),
        "en": (
            "The patient has had cough and fever for {n} days; the doctor orders an X-ray of the lungs.",
            "Take {n} tablets of the antibiotic a day after meals, and see the doctor again on day {d}.",
            "The patient's blood test is normal, the blood pressure a little high.",
            "The clinic expects the patient on day {d}; do not eat before blood is taken.",
        ),
        "zh": (
            "病人咳嗽发烧已{n}天，医生要求拍胸片。",
            "抗生素每天饭后服{n}片，{d}日复诊。",
            "病人的血液检查正常，血压略高。",
            "诊所请病人{d}日来看医生，抽血前不要进食。",
        ),
    },
    "bicycle": {
        "vi": (
            "Thay má phanh xe đạp sau mỗi {n} nghìn cây số, kiểm tra dây phanh.",
            "Tra dầu xích xe đạp và bơm lốp đến áp suất {n} bar.",
            "Sạc pin xe đạp điện {d} giờ trước chuyến đi đầu tiên.",
            "Siết lại bu lông bánh xe và ghi đông của xe đạp sau {n} ngày.",
        ),
        "en": (
            "Replace the brake pads of the bicycle every {n} thousand kilometres and check the brake cable.",
            "Oil the chain of the bicycle and pump the tyres to {n} bar.",
            "Charge the battery of the electric bicycle for {d} hours before the first ride.",
            "Tighten the bolts of wheel and handlebar of the bicycle after {n} days.",
        ),
        "zh": (
            "自行车每骑行{n}千公里更换刹车片并检查刹车线。",
            "给自行车链条上油，轮胎充气到{n}巴。",
            "首次骑行前给电动自行车电池充电{d}小时。",
            "骑行{n}天后拧紧自行车车轮和车把的螺栓。",
        ),
    },
    "school": {
        "vi": (
            "Nhà trường họp phụ huynh học sinh lớp {n} vào ngày {d}.",
            "Học sinh mang sách vở, áo mưa và cơm trưa cho chuyến tham quan.",
            "Thư viện trường nhận {n} cuốn truyện do phụ huynh tặng học sinh.",
            "Cô giáo chủ nhiệm gửi bảng điểm học kỳ của học sinh ngày {d}.",
        ),
        "en": (
            "The school invites the parents of class {n} to a meeting on day {d}.",
            "Pupils bring books, a raincoat and lunch for the school trip.",
            "The school library received {n} story books that parents gave for the pupils.",
            "The class teacher sends the pupils' marks of the term on day {d}.",
        ),
        "zh": (
            "学校{d}日召开{n}年级学生家长会。",
            "学生参加校外参观请带书本、雨衣和午饭。",
            "学校图书馆收到家长捐给学生的{n}本故事书。",
            "班主任老师{d}日寄出学生的学期成绩单。",
        ),
    },
    "harvest": {
        "vi": (
            "Nông dân gặt lúa từ ngày {d}, độ ẩm hạt thóc {n} phần trăm.",
            "Phơi thóc {n} nắng trước khi cất vào kho, tránh mưa.",
            "Bón phân cho ruộng lúa và giữ mực nước {n} phân.",
            "Thương lái mua gạo mới của nông dân giá {n} nghìn đồng một ký.",
        ),
        "en": (
            "Farmers cut the rice from day {d}; the moisture of the grain is {n} percent.",
            "Dry the rice grain in the sun for {n} days before it is stored, away from rain.",
            "Spread fertiliser on the rice field and keep the water {n} centimetres deep.",
            "Traders buy the farmers' new rice at {n} a kilogram.",
        ),
        "zh": (
            "农民{d}日起收割水稻，稻谷水分百分之{n}。",
            "稻谷入库前晒{n}天太阳，避免淋雨。",
            "给稻田施肥，水深保持{n}厘米。",
            "粮商以每公斤{n}元收购农民的新米。",
        ),
    },
}
LANGUAGES: Final[tuple[Language, ...]] = ("vi", "en", "zh")
# Where a document is from: the only words that documents of one kind and language do not share.
_FROM: Final[dict[Language, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "vi": (
        "Nơi gửi: {} {}.",
        ("làng", "phố", "bến", "xóm"),
        ("Hoa Sen", "Đồi Thông", "Cầu Tre", "Gió Mát", "Trăng Non"),
    ),
    "en": ("From: {} {}.", ("Willow", "Lantern", "Copper", "Heron"), ("Bridge", "Hollow", "Mill", "Quay", "Orchard")),
    "zh": ("来自：{}{}。", ("柳树", "灯笼", "铜钟", "白鹭"), ("桥", "谷", "磨坊", "码头", "果园")),
}


@dataclass(frozen=True)
class Notice:
    """A document: its kind, and its sentences in one language; the first tells where it is from."""

    kind: str
    language: Language
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return ("" if self.language == "zh" else " ").join(self.sentences)

    @property
    def picture(self) -> Image.Image:
        """The document as a small printed page, 448 x 224 pixels: letters of about 14 px."""
        return _printed(self)


def notices(each: int, seed: int = 7) -> list[Notice]:
    """`each` documents of each kind and language, 20 at most, of four different sentences each, in a mixed order."""
    random = Random(seed)
    made = [
        Notice(kind, language, (place, *(_filled(random, one) for one in random.sample(said[language], 3))))
        for kind, said in SENTENCES.items()
        for language in LANGUAGES
        for place in random.sample(_places(language), each)
    ]
    random.shuffle(made)
    return made


def _places(language: Language) -> list[str]:
    sentence, first, second = _FROM[language]
    return [sentence.format(a, b) for a in first for b in second]


def _filled(random: Random, sentence: str) -> str:
    return sentence.format(n=random.randrange(2, 98), d=random.randrange(1, 29))


@cache
def _printed(notice: Notice) -> Image.Image:
    page = pymupdf.open().new_page(width=336, height=168)
    sheet = Sheet(page, face(notice.language))
    sheet.line((14, 14), (322, 14), color=GREY)
    sheet.paragraph(14, 22, 310, notice.text, size=11, leading=1.5)
    return render(page, 96)


def kinds(of: Sequence[Notice]) -> list[int]:
    """The kinds as numbers."""
    names = list(SENTENCES)
    return [names.index(notice.kind) for notice in of]
