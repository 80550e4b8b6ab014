"""Pieces of documents, with lines as they break in them, people's roles, and other languages; labelled by hand. What a
piece names is all that is to be found; of its terms, what should be among those found."""

from typing import Final

# The rules were mended on these.
MENDED_ON: Final[tuple[tuple[str, dict[str, list[str]]], ...]] = (
    (
        "Thành viên Đỗ Khánh Vân báo mất thẻ. Hội viên Đỗ Khánh Vân đã được cấp lại ngày 12/02/2026.",
        {"name": ["Đỗ Khánh Vân"], "date": ["2026-02-12"]},
    ),
    (
        "BÊN BÁN\nCông ty TNHH\nBến Thành\nMã số thuế: 0309876512\nĐại diện: Ông Lâm Quốc Bảo\nChức vụ: Giám đốc",
        {"name": ["Công ty TNHH Bến Thành", "Lâm Quốc Bảo"], "code": ["0309876512"]},
    ),
    (
        "Kính gửi: Trưởng phòng Nhân sự Phan Mỹ Duyên\nTôi là kế toán trưởng Ngô Gia Bảo, "
        "xin báo cáo chi phí 18.500.000 đ.",
        {"name": ["Phan Mỹ Duyên", "Ngô Gia Bảo"], "amount": ["18,500,000 VND"]},
    ),
    (
        "Người dự họp gồm Phó Chủ tịch Huỳnh Tấn Phát, thư ký Vũ Thùy Linh và các tổ trưởng. "
        "Chủ tịch yêu cầu Tòa án gia hạn.",
        {"name": ["Huỳnh Tấn Phát", "Vũ Thùy Linh"]},
    ),
    (
        "Theo văn bản QPPL mới, Hội đồng trường và Viện trưởng cùng ký. Trọng tài viên Bùi Thế Anh giữ hồ sơ.",
        {"name": ["Bùi Thế Anh"]},
    ),
    (
        "Hồ sơ nộp tại Sở Lao động - Thương binh và Xã hội. Ủy ban nhân dân tỉnh Bình Định trả lời trong 15 ngày.",
        {"name": ["Sở Lao động - Thương binh và Xã hội", "Ủy ban nhân dân tỉnh Bình Định"]},
    ),
    (
        "Máy nén khí số 3 được bảo dưỡng. Người bảo dưỡng là thợ cả Trịnh Công Lý. "
        "Máy nén khí chạy tốt, áp suất 7,2 bar.",
        {"name": ["Trịnh Công Lý"], "amount": ["7.2 bar"], "term": ["máy nén khí", "bảo dưỡng"]},
    ),
    (
        "Năm ngoái, đoàn khách từ Pháp và Nhật ghé thăm Huế rồi đi Đà\nLạt bằng tàu. "
        "Trưởng đoàn là bà Claire Fontaine.",
        {"name": ["Pháp", "Nhật", "Huế", "Đà Lạt", "Claire Fontaine"]},
    ),
    (
        "Đơn vị thi công:\nTổng công ty Xây dựng\nTrường Sơn\nĐịa chỉ: 47 phố Pháo Đài Láng, quận Đống Đa, Hà Nội",
        {"name": ["Tổng công ty Xây dựng Trường Sơn", "phố Pháo Đài Láng", "Đống Đa", "Hà Nội"]},
    ),
    (
        "Member Rosalind Crewe called about the camper van. The policy of Rosalind Crewe covers it.",
        {"name": ["Rosalind Crewe"]},
    ),
    (
        "Present: Director Naomi Feldspar, Treasurer Piers Oakham and Secretary Lena Whitlow.\n"
        "Chairman Oakham opened the meeting.",
        {"name": ["Naomi Feldspar", "Piers Oakham", "Lena Whitlow", "Oakham"]},
    ),
    (
        "Prime Minister Ada Thornbury met Apple CEO Steve Jobs in New Zealand. "
        "The Prime Minister's office confirmed it.",
        {"name": ["Ada Thornbury", "Apple", "Steve Jobs", "New Zealand"]},
    ),
    (
        "Dr. Marcus Bellamy, Chief Engineer of Larkspur Turbines Ltd, replaced the rotor blades. "
        "The rotor blades had cracked.",
        {"name": ["Marcus Bellamy", "Larkspur Turbines Ltd"], "term": ["rotor blade"]},
    ),
    (
        "This agreement is made between Harrowgate Shipping\nCompany Limited and the owner, Mrs Ines Calloway, for\n"
        "the lease of warehouse WH-2207 in Port Melrose.",
        {"name": ["Harrowgate Shipping Company Limited", "Ines Calloway", "Port Melrose"], "code": ["WH-2207"]},
    ),
    (
        "SUPPLIER\nBlue Heron\nPackaging Inc.\nVAT no. GB123456789\nInvoice total: $ 4,210.00",
        {"name": ["Blue Heron Packaging Inc"], "code": ["GB123456789"], "amount": ["4,210 USD"]},
    ),
    (
        "The nurse on duty was Tobias Renn. Patient Gloria Makepeace's blood pressure was taken at St. Alban Hospital.",
        {"name": ["Tobias Renn", "Gloria Makepeace", "St. Alban Hospital"]},
    ),
    ("The Board of Directors thanked the Engineer and the Head of Sales. Our Customer Service is open on Friday.", {}),
    (
        "经理周明远主持会议。周明远经理要求三天内完成。",
        {"name": ["周明远"]},
    ),
    (
        "会员赵雅琴来电。赵雅琴的保单号：BX-77120。",
        {"name": ["赵雅琴"], "code": ["BX-77120"]},
    ),
    (
        "供应商：苏州蓝鲸自动化\n设备有限公司\n联系人：孙立群\n合计：人民币12,800元",
        {"name": ["苏州蓝鲸自动化设备有限公司", "孙立群"], "amount": ["12,800 CNY"]},
    ),
    (
        "根据航空公司规定，旅客须提前两小时到达。几个街区以外有一家电信公司。付费区内不得吸烟。",
        {},
    ),
    (
        "技术员郑海涛更换了冷却泵，冷却泵型号CP-3300。工程师郑海涛签字确认。",
        {"name": ["郑海涛"], "code": ["CP-3300"], "term": ["冷却泵"]},
    ),
    (
        "Sehr geehrte Damen und Herren, die Lieferung der Pumpe erfolgt am 14.03.2026. Die Rechnung Nr. RE-20417 über "
        "1.250,00 € ist innerhalb von vierzehn Tagen ohne Abzug zu zahlen. Bitte prüfen Sie die Ware auf Schäden.",
        {"date": ["2026-03-14"], "code": ["RE-20417"], "amount": ["1,250 EUR"]},
    ),
    (
        "Die Wartung der Anlage darf nur durch Fachpersonal erfolgen. Vor dem Öffnen des Gehäuses ist die Spannung "
        "abzuschalten. Hersteller ist die Kessel & Söhne GmbH, und der Vertrieb liegt bei der Nordwind Technik AG.",
        {"name": ["Kessel & Söhne GmbH", "Nordwind Technik AG"]},
    ),
    (
        "La présente facture doit être réglée dans les trente jours. Pour toute question, le Service Clients est à "
        "votre "
        "disposition du Lundi au Vendredi. Le contrat CT-5512 avec la société est renouvelé chaque année.",
        {"code": ["CT-5512"]},
    ),
    (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
        "conciencia, deben comportarse fraternalmente los unos con los otros. El Estado los protege con la Ley.",
        {},
    ),
)

# Written before the rules were mended, and only their sums were looked at since, not what is missed in which piece.
KEPT_FOR_TEST: Final[tuple[tuple[str, dict[str, list[str]]], ...]] = (
    (
        "Khách hàng thân thiết Tạ Minh Hằng gọi lúc sáng. Đã hoàn 350.000 đ cho chị Tạ Minh Hằng.",
        {"name": ["Tạ Minh Hằng"], "amount": ["350,000 VND"]},
    ),
    (
        "CHỦ ĐẦU TƯ\nCông ty Cổ phần\nHoa Phượng Đỏ\nGiấy phép số: 4102/GP-SXD\nNgười ký: Tổng giám đốc Cao Bá Nhạ",
        {"name": ["Công ty Cổ phần Hoa Phượng Đỏ", "Cao Bá Nhạ"], "code": ["4102/GP-SXD"]},
    ),
    (
        "Điều dưỡng Lương Thị Sen trực đêm cùng bác sĩ Đinh Gia Huy. Điều dưỡng trưởng vắng mặt.",
        {"name": ["Lương Thị Sen", "Đinh Gia Huy"]},
    ),
    (
        "Thuyền trưởng Mai Văn Bền cho tàu rời cảng Cái Lân ngày 03/09/2025. Máy trưởng Nông Đức Tài ghi nhật ký.",
        {"name": ["Mai Văn Bền", "Cái Lân", "Nông Đức Tài"], "date": ["2025-09-03"]},
    ),
    (
        "Chánh án phân công Thẩm phán. Nhu cầu Viện kiểm sát nêu trong phiên bản PDF đã được Quốc hội xem xét.",
        {},
    ),
    (
        "Đề nghị Bộ Tài nguyên và Môi trường phối hợp với Ủy ban nhân dân thành phố Hải Phòng kiểm tra bãi thải.",
        {"name": ["Bộ Tài nguyên và Môi trường", "Ủy ban nhân dân thành phố Hải Phòng"]},
    ),
    (
        "Van giảm áp bị kẹt. Tổ trưởng Khổng Văn Thịnh thay van giảm áp bằng loại VG-118, giá 2,4 triệu đồng.",
        {"name": ["Khổng Văn Thịnh"], "code": ["VG-118"], "amount": ["2,400,000 VND"], "term": ["van giảm áp"]},
    ),
    (
        "Hàng nhập từ Đức và Mỹ được chuyển qua Vinh, sau đó tới thành phố "
        "Buôn Ma\nThuột trước ngày 1 tháng 4 năm 2026.",
        {"name": ["Đức", "Mỹ", "Vinh", "Buôn Ma Thuột"], "date": ["2026-04-01"]},
    ),
    (
        "Bên vận chuyển:\nHợp tác xã Vận tải\nSông Lam Xanh\nBên nhận: Trung tâm Giống cây trồng Phú Thọ, xã Tiên Kiên",
        {"name": ["Hợp tác xã Vận tải Sông Lam Xanh", "Trung tâm Giống cây trồng Phú Thọ", "Tiên Kiên"]},
    ),
    (
        "Resident Agatha Plumley reported the leak. The flat of Agatha Plumley was dried out on 9 January 2026.",
        {"name": ["Agatha Plumley"], "date": ["2026-01-09"]},
    ),
    (
        "Attending: Vice President Rowan Achterberg, Foreman Silas Peabody, Auditor Greta Holm.\n"
        "Foreman Peabody asked for more time.",
        {"name": ["Rowan Achterberg", "Silas Peabody", "Greta Holm", "Peabody"]},
    ),
    (
        "President Odalys Ferrant received Volvo CEO Jim Rowan in New Delhi. "
        "The President's spokesman gave no details.",
        {"name": ["Odalys Ferrant", "Volvo", "Jim Rowan", "New Delhi"]},
    ),
    (
        "Prof. Lydia Sandoval, Head of Cardiology at Queensbury Hospital, uses the flow meter FM-650. "
        "Flow meters are rinsed.",
        {"name": ["Lydia Sandoval", "Queensbury Hospital"], "code": ["FM-650"], "term": ["flow meter"]},
    ),
    (
        "The premises are let by Ashdown Property\nHoldings Ltd to the tenant, Mr Felix Obermann, for\n"
        "twelve months from 1 June 2025 at £ 980 a month.",
        {
            "name": ["Ashdown Property Holdings Ltd", "Felix Obermann"],
            "date": ["2025-06-01"],
            "amount": ["980 GBP"],
        },
    ),
    (
        "CARRIER\nSilver Birch\nLogistics LLC\nBooking ref. SBL-40921\nDeparture: 17 Nov 2025",
        {"name": ["Silver Birch Logistics LLC"], "code": ["SBL-40921"], "date": ["2025-11-17"]},
    ),
    (
        "The tour guide was Hamish Drummond. Guest Beatrix Lowell's luggage had been left at St. Pancras Station.",
        {"name": ["Hamish Drummond", "Beatrix Lowell", "St. Pancras Station"]},
    ),
    ("The Managing Director and the Sales Team will meet on Tuesday. The Inspector checks each Fire Extinguisher.", {}),
    (
        "主管林佩珊批准了申请。请通知林佩珊主管。",
        {"name": ["林佩珊"]},
    ),
    (
        "客户何志强投诉空调漏水。何志强的订单号：DD-30956。",
        {"name": ["何志强"], "code": ["DD-30956"]},
    ),
    (
        "承运方：宁波远帆国际\n物流有限公司\n负责人：许文静\n运费：4,600元",
        {"name": ["宁波远帆国际物流有限公司", "许文静"], "amount": ["4,600 CNY"]},
    ),
    (
        "按照保险公司要求，请保留发票。每家物流公司的价格不同。休息区在二楼，由医院安排。",
        {},
    ),
    (
        "护士长韩雪梅检查了输液泵，输液泵编号SY-0417。药剂师韩雪梅复核无误。",
        {"name": ["韩雪梅"], "code": ["SY-0417"], "term": ["输液泵"]},
    ),
    (
        "Der Mieter verpflichtet sich, die Wohnung pfleglich zu behandeln und Mängel unverzüglich anzuzeigen. "
        "Die Kaution "
        "in Höhe von 1.800,00 € ist bis zum 01.10.2025 zu zahlen. Kundennummer: KD-88213.",
        {"amount": ["1,800 EUR"], "date": ["2025-10-01"], "code": ["KD-88213"]},
    ),
    (
        "Der Bericht wurde von der Morgenrot Energie GmbH erstellt. Die Ergebnisse der Messung zeigen, "
        "dass die Leistung "
        "der Anlage im Sommer über dem Durchschnitt liegt und der Verbrauch sinkt.",
        {"name": ["Morgenrot Energie GmbH"]},
    ),
    (
        "Le Locataire s'engage à payer le loyer avant le cinq de chaque mois. Le Bailleur remet les clés au Locataire "
        "à la signature. Le dossier DL-7730 est conservé par la Direction pendant dix ans.",
        {"code": ["DL-7730"]},
    ),
    (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Faktura nr FV-3391 została "
        "opłacona przez Zamawiającego, a Wykonawca odpowiada za opóźnienia w dostawie.",
        {"code": ["FV-3391"]},
    ),
)
