"""Passages in Vietnamese, English and Chinese with what they name, labelled by hand."""

from typing import Final

# (text, {label: names}); a label that is not there has none in the text. Terms are not labelled: see test_rules.
GOLD: Final[tuple[tuple[str, dict[str, list[str]]], ...]] = (
    (
        "Hôm nay, ngày 5 tháng 3 năm 2024, tại Hà Nội, ông Nguyễn Văn An ký hợp đồng số HD-2024/017.",
        {"name": ["Hà Nội", "Nguyễn Văn An"], "date": ["2024-03-05"], "code": ["HD-2024/017"]},
    ),
    (
        "Bên A: Công ty TNHH Cơ khí Minh Long, mã số thuế 0312345678, do bà Trần Thị Bích làm giám đốc.",
        {"name": ["Công ty TNHH Cơ khí Minh Long", "Trần Thị Bích"], "code": ["0312345678"]},
    ),
    ("Tiền đặt cọc là 1.250.000 đ, trả trước 30/06/2025.", {"amount": ["1,250,000 VND"], "date": ["2025-06-30"]}),
    (
        "Tổng vốn đầu tư 2 tỷ 500 triệu đồng cho nhà máy tại Đà Nẵng.",
        {"amount": ["2,500,000,000 VND"], "name": ["Đà Nẵng"]},
    ),
    (
        "Theo Nghị định 15/2020/NĐ-CP, hồ sơ gửi về Bộ Y tế và Sở Xây dựng.",
        {"code": ["15/2020/NĐ-CP"], "name": ["Bộ Y tế", "Sở Xây dựng"]},
    ),
    (
        "Xe biển số 51F-123.45 đỗ ở đường Lê Lợi, quận Hải Châu.",
        {"code": ["51F-123.45"], "name": ["đường Lê Lợi", "Hải Châu"]},
    ),
    ("Liên hệ chị Phạm Thu Hà, điện thoại 0912 345 678.", {"name": ["Phạm Thu Hà"], "code": ["+84912345678"]}),
    ("Số CCCD: 001085012345, cấp ngày 01/02/2021.", {"code": ["001085012345"], "date": ["2021-02-01"]}),
    ("Bê tông phải theo TCVN 5574:2018 và ISO 9001:2015.", {"code": ["TCVN 5574:2018", "ISO 9001:2015"]}),
    ("Máy báo lỗi E-04 khi áp suất dưới 0,35 MPa.", {"code": ["E-04"], "amount": ["0.35 MPa"]}),
    ("Diện tích căn hộ là 68,5 m² ở tầng 12.", {"amount": ["68.5 m²"]}),
    ("Cuộc họp tháng 3 năm 2026 do ông Lưu Đình Thọ chủ trì.", {"date": ["2026-03"], "name": ["Lưu Đình Thọ"]}),
    ("Báo cáo quý 2 năm 2025 của Tập đoàn Hòa Phát.", {"date": ["2025-Q2"], "name": ["Tập đoàn Hòa Phát"]}),
    (
        "Gửi thư về lienhe@minhlong.vn hoặc xem www.minhlong.vn/gia.",
        {"code": ["lienhe@minhlong.vn", "minhlong.vn/gia"]},
    ),
    (
        "Sinh viên Trường Đại học Bách khoa thực tập ở Ngân hàng Quân đội.",
        {"name": ["Trường Đại học Bách khoa", "Ngân hàng Quân đội"]},
    ),
    ("Điều 5. Tiền đặt cọc\nBên thuê đặt cọc hai tháng tiền nhà.", {"heading": ["Tiền đặt cọc"]}),
    ("HỢP ĐỒNG THUÊ NHÀ\nHai bên thỏa thuận như sau.", {"heading": ["HỢP ĐỒNG THUÊ NHÀ"]}),
    ("Tháng này trời mưa nhiều, nước sông lên cao, việc đi lại khó khăn.", {}),
    ("Trang 3/12. Xem Hình 2 và Bảng 4 ở trang sau.", {}),
    ("Từ tháng 1 đến tháng 6, cửa hàng mở cửa lúc 8 giờ 30.", {}),
    (
        "Chuyến hàng 12 tấn rời Hải Phòng ngày 20-11-2023.",
        {"amount": ["12 t"], "name": ["Hải Phòng"], "date": ["2023-11-20"]},
    ),
    ("Hóa đơn số: 0004521, tổng cộng 3.750.000 VNĐ.", {"code": ["0004521"], "amount": ["3,750,000 VND"]}),
    ("Bệnh nhân Lê Văn Tám được chuyển tới Bệnh viện Chợ Rẫy.", {"name": ["Lê Văn Tám", "Bệnh viện Chợ Rẫy"]}),
    ("Giá thuê là 500 USD một tháng, khoảng 12,5 triệu đồng.", {"amount": ["500 USD", "12,500,000 VND"]}),
    (
        "The Acme Company signed with Jane Miller on March 5, 2024 for US$ 3.5 million.",
        {"name": ["Acme Company", "Jane Miller"], "date": ["2024-03-05"], "amount": ["3,500,000 USD"]},
    ),
    (
        "Contact Siemens GmbH in Berlin, phone +49 30 1234 5678.",
        {"name": ["Siemens GmbH", "Berlin"], "code": ["+493012345678"]},
    ),
    ("Error E-04 means that the filter FX-200B is blocked.", {"code": ["E-04", "FX-200B"]}),
    (
        "Mr. John Smith of the University of Oxford spoke on 12 May 2023.",
        {"name": ["John Smith", "University of Oxford"], "date": ["2023-05-12"]},
    ),
    ("See Figure 2 on page 3 and Table 4 of Chapter 7.", {}),
    ("In the morning the workers open the gate. They close it at night.", {}),
    ("The meeting on Monday was moved to Tuesday in January.", {}),
    (
        "Invoice INV-00123 was paid in Q3 2024 by Globex Ltd.",
        {"code": ["INV-00123"], "date": ["2024-Q3"], "name": ["Globex Ltd"]},
    ),
    ("Send it to jane.doe@example.com before 2025-01-31.", {"code": ["jane.doe@example.com"], "date": ["2025-01-31"]}),
    ("The park delivered 48.6 GWh and cost €1,200,000.", {"amount": ["48.6 GWh", "1,200,000 EUR"]}),
    ("# Cleaning the pump\nSwitch the pump off first.", {"heading": ["Cleaning the pump"]}),
    ("3.2 Calibration\nThe probe is dipped in oil for ten minutes.", {"heading": ["Calibration"]}),
    ("The contract was written by Sarah Connor and checked by David Brown.", {"name": ["Sarah Connor", "David Brown"]}),
    ("We flew from Singapore to Nairobi with Qatar Airways.", {"name": ["Singapore", "Nairobi", "Qatar Airways"]}),
    ("Order number: 8842-1190, serial number 8A7B-22Q.", {"code": ["8842-1190", "8A7B-22Q"]}),
    ("The chip follows IEEE 802.11 and RFC 2616.", {"code": ["IEEE 802.11", "RFC 2616"]}),
    ("It weighs 12.5 kg and needs 230 V.", {"amount": ["12.5 kg", "230 V"]}),
    ("Between 2019 and 2023 the number grew by 12 percent.", {}),
    ("The Ministry of Health reported it in February 2022.", {"name": ["Ministry of Health"], "date": ["2022-02"]}),
    ("Her doctor, Dr. Emily Stone, works at Riverside Hospital.", {"name": ["Emily Stone", "Riverside Hospital"]}),
    ("Pay £45.50 to account number 12345678.", {"amount": ["45.5 GBP"], "code": ["12345678"]}),
    ("Press the red button twice, then wait until the lamp is green.", {}),
    (
        "北京华为科技有限公司与李小明先生于2024年3月5日签订合同。",
        {"name": ["北京华为科技有限公司", "李小明"], "date": ["2024-03-05"]},
    ),
    ("合同编号：HT-2024-017，金额为人民币3,500,000元。", {"code": ["HT-2024-017"], "amount": ["3,500,000 CNY"]}),
    ("《劳动法》规定，试用期不得超过六个月。", {"name": ["劳动法"]}),
    ("王伟教授在清华大学工作。", {"name": ["王伟", "清华大学"]}),
    ("租金伍万元整，押金两万元。", {"amount": ["50,000 CNY", "20,000 CNY"]}),
    ("工厂位于广州，距离上海1,400公里。", {"name": ["广州", "上海"], "amount": ["1,400 km"]}),
    ("滤芯型号FX-200B，额定电压220伏。", {"code": ["FX-200B"], "amount": ["220 V"]}),
    ("会议时间：二〇二四年三月五日，主持人：贺兰芝", {"date": ["2024-03-05"], "name": ["贺兰芝"]}),
    ("请按下按钮，等待绿灯亮起，然后打开水龙头。", {}),
    ("见第3页图2，表4列出了各项参数。", {}),
    ("联系电话：13812345678，邮箱：li@example.cn", {"code": ["+8613812345678", "li@example.cn"]}),
    ("第三条 租金\n乙方应在每月五日前支付。", {"heading": ["租金"]}),
    ("2025年第三季度销售额为1.2亿元。", {"date": ["2025-Q3"], "amount": ["120,000,000 CNY"]}),
    ("中国银行将于2023年12月1日在深圳开设分行。", {"name": ["中国银行", "深圳"], "date": ["2023-12-01"]}),
    ("标准GB/T 19001-2016适用于本产品。", {"code": ["GB/T 19001-2016"]}),
)

# Written after the rules were mended on the others. At first 16 of 17 names and all else were right; "Cần Thơ" was
# cut to "Thơ", which has been mended since.
HELD_OUT: Final[tuple[tuple[str, dict[str, list[str]]], ...]] = (
    (
        "Sáng 12/8/2025, bà Võ Thị Sáu Nhỏ nhận 45 triệu đồng từ Ngân hàng Sài Gòn.",
        {"date": ["2025-08-12"], "name": ["Võ Thị Sáu Nhỏ", "Ngân hàng Sài Gòn"], "amount": ["45,000,000 VND"]},
    ),
    ("Công ty Cổ phần Sữa Ba Vì đặt nhà máy ở tỉnh Nghệ An.", {"name": ["Công ty Cổ phần Sữa Ba Vì", "Nghệ An"]}),
    (
        "Quyết định số 88/QĐ-UBND có hiệu lực từ ngày 1 tháng 7 năm 2023.",
        {"code": ["88/QĐ-UBND"], "date": ["2023-07-01"]},
    ),
    (
        "Kỹ sư Đặng Minh Khôi đo được 412 kWh tại Cần Thơ.",
        {"name": ["Đặng Minh Khôi", "Cần Thơ"], "amount": ["412 kWh"]},
    ),
    ("Mã đơn hàng DH-99812, giao tới 15 phố Huế.", {"code": ["DH-99812"], "name": ["phố Huế"]}),
    ("Điều 12. Chấm dứt hợp đồng\nHai bên có thể chấm dứt bất cứ lúc nào.", {"heading": ["Chấm dứt hợp đồng"]}),
    ("Thời tiết hôm qua mát mẻ và trẻ em chơi ngoài sân.", {}),
    (
        "Laura Bianchi joined Northwind Traders Inc in Toronto.",
        {"name": ["Laura Bianchi", "Northwind Traders Inc", "Toronto"]},
    ),
    ("Policy number: PL-7781-B covers up to $250,000.", {"code": ["PL-7781-B"], "amount": ["250,000 USD"]}),
    (
        "The valve V-204 opened on 7 June 2021 at 3.5 bar.",
        {"code": ["V-204"], "date": ["2021-06-07"], "amount": ["3.5 bar"]},
    ),
    ("Professor Alan Grant visited Kyoto and Osaka.", {"name": ["Alan Grant", "Kyoto", "Osaka"]}),
    ("## Returning a product\nKeep the receipt for thirty days.", {"heading": ["Returning a product"]}),
    ("Most people like tea. Some of them drink coffee too.", {}),
    ("广州蓝天电子有限公司欠款人民币8万元。", {"name": ["广州蓝天电子有限公司"], "amount": ["80,000 CNY"]}),
    ("患者：陈晓梅，就诊日期：2022年11月30日。", {"name": ["陈晓梅"], "date": ["2022-11-30"]}),
    ("张建国经理住在杭州市。", {"name": ["张建国", "杭州"]}),
    ("故障代码E12表示水箱缺水。", {"code": ["E12"]}),
    ("天气很好，孩子们在公园里玩。", {}),
)
