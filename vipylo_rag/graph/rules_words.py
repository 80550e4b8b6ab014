"""Words that the rules know: which tell nothing, which begin a name, which end one."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Phrases of several words, written with "_" between them."""
    return tuple(phrase.replace("_", " ") for phrase in text.split())


# Function words, and words of documents that stand for any content.
VIETNAMESE_IDLE: Final = _words(
    """
        và của là có được cho các những này đó khi thì mà ở tại từ đến với trong ngoài trên dưới về theo như nếu hoặc
        hay nhưng vì do bởi nên để đã đang sẽ không chưa cũng rất một hai ba bốn năm sáu bảy tám chín mười mỗi mọi cả
        bị phải cần có_thể ra vào lên xuống lại nữa hơn nhất bằng qua sau trước giữa cùng nào gì ai đâu sao thế đây
        kia ấy vậy chỉ vẫn còn mới đều tự do_đó bạn tôi chúng ta họ nó mình ông bà anh chị em việc sự cái con chiếc
        người trường_hợp số ngày tháng giờ phút quý gồm bao như_sau sau_đây dưới_đây thuộc đối tuy nhiên vừa đang rồi
        xin hãy đừng chớ khoảng tới nhằm thông_qua lần loại bên khác nhau nhiều ít điều khoản mục trang kể cứ tùy
        mỗi hết được_phép làm đưa lấy dùng gọi giúp đầu cuối kèm  
    """
)
ENGLISH_IDLE: Final = _words(
    """
        a an the and or but if then else of in on at to for from by with without within into onto over under above
        below between among through during before after since until against about as is are was were be been being am
        do does did done have has had having will would shall should can could may might must not no nor so than that
        this these those there here it its it's he she they them his her their our your my we you i me us who whom
        whose which what when where why how all any both each few more most other some such only own same too very
        just also again once further up down out off per via etc eg ie vs one two three four five six seven eight nine
        ten first second third last next new old many much every either neither because while although though however
        therefore thus hence yes please see use used using make made get got set let still even well well-known based
        following given like want need way ways thing things lot yet across around along upon toward towards ever
        never always often usually now today including include includes dear sincerely regards
    """
)
# Characters that part Chinese phrases: particles, pronouns, prepositions, conjunctions, adverbs.
CHINESE_IDLE: Final = frozenset(
    "的了和与及或是在有为对以于从到由被把将向给让使而但且则若如也都就还又再很最不没无未这那此其之所者个们我你您他她它等各每该某着过地得啊吗呢吧请可能应须需要会并即因此当时后前中上下内外间"
)
# Capitalised words of English that begin sentences and headings and name nothing by themselves.
ENGLISH_PLAIN: Final = _words(
    """
        page chapter section table figure fig appendix part step note notes warning caution danger important tip
        example total subtotal amount price date time day week month year invoice order number no name address phone
        email fax website item items description quantity unit tax vat discount payment terms conditions summary
        introduction contents overview conclusion references abstract january february march april may june july
        august september october november december jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday
        wednesday thursday friday saturday sunday mon tue wed thu fri sat sun spring autumn winter q1 q2 q3 q4 mr mrs
        ms dr prof sir dear yes no ok true false left right top bottom front back open close start stop on off click
        press select choose enter check turn remove install replace connect insert clean keep use follow contact call
        read write send download upload save delete add edit view show hide print copy customer client supplier vendor
        seller buyer tenant landlord lessor lessee party parties agreement contract clause article paragraph signature
        signed company department office manager director president secretary chairman report review version revision
        draft final general specific first second third january's figure's et al de en eur usd vnd gbp bill ship sold
        due balance paid account bank code type model size color colour weight length width height min max average
        mean results result method methods data analysis discussion background objective goal goals question questions
        answer answers problem solution english vietnamese chinese french german
    """
)
# Family names of Vietnam; the rarer ones that are words too need a title before them.
VIETNAMESE_FAMILIES: Final = _words(
    "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Đào Đoàn"
    " Lâm Tô Tạ Trương Lương Vương Quách Tăng Triệu Phùng Tống Nông Châu Hà Mai Cao Thái Chu "
    "La Kiều Lưu Giang Diệp Văn Khổng Thạch Từ Hứa Nghiêm Doãn Lại Ông Viên Mạc Đàm Bạch Tôn"
) - {"Ông", "Văn", "Viên", "Từ", "Lại"}
FREQUENT_FAMILIES: Final = _words("Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Đinh Trịnh")
# "Hà Nội" and "Cao Bằng" begin so too.
_NO_PERSON: Final = _words(
    "Hà_Nội Hà_Giang Hà_Nam Hà_Tĩnh Hà_Tiên Hà_Đông Cao_Bằng Thái_Bình Thái_Nguyên Thái_Lan Lâm_Đồng"
    " Châu_Đốc Hồ_Tây Hồ_Chí Đào_Tạo La_Mã Giang_Nam Châu_Âu Châu_Á Châu_Phi Châu_Mỹ Lý_Sơn Cao_Lãnh"
    " Mai_Châu Hoàng_Sa Hoàng_Mai Hà_Lan Cao_Đẳng Dương_Lịch"
)
VIETNAMESE_PLACES_LIKE_PEOPLE: Final = frozenset(name.replace("_", " ") for name in _NO_PERSON)

# "Xem Hình 2", "Theo Điều 5"
VIETNAMESE_PLACES_IN_TEXTS: Final = _words("hình bảng trang xem điều khoản mục chương bước phụ biểu")

# Before a person's name; in lower case, as compared.
PERSON_TITLES: Final = frozenset(
    _phrases("""
        ông bà anh chị cô chú bác em cụ ông/bà bác_sĩ bs bs. ts ts. ths ths. gs gs. pgs pgs. pgs.ts pgs.ts. gs.ts
        tiến_sĩ thạc_sĩ giáo_sư luật_sư kỹ_sư giám_đốc phó_giám_đốc tổng_giám_đốc chủ_tịch trưởng_phòng bệnh_nhân
        đồng_chí mr mr. mrs mrs. ms ms. miss dr dr. prof prof. professor sir madam nurse engineer attorney captain
    """)
)
# Before an administrative place's name, which is written without them elsewhere.
PLACE_TITLES: Final = frozenset(_phrases("tỉnh thành_phố tp tp. t.p quận huyện phường xã thị_xã thị_trấn tx. q. h. p."))
STREET_TITLES: Final = _words("đường phố hẻm ngõ thôn ấp bản làng khu cầu sông núi hồ chợ")

# First words of Vietnamese organisations, and the words inside their names that are written small.
ORGANISATION_HEADS: Final = _phrases("""
    tổng_công_ty công_ty tập_đoàn ngân_hàng trường_đại_học trường_cao_đẳng trường_trung_học trường_tiểu_học
    trường_mầm_non trường đại_học học_viện bệnh_viện phòng_khám nhà_thuốc viện bộ sở cục tổng_cục chi_cục
    ủy_ban_nhân_dân uỷ_ban_nhân_dân ubnd ủy_ban uỷ_ban trung_tâm hợp_tác_xã htx nhà_máy nhà_xuất_bản nxb nhà_hàng
    khách_sạn tòa_án_nhân_dân toà_án_nhân_dân tòa_án liên_đoàn hiệp_hội văn_phòng_công_chứng cửa_hàng siêu_thị
    doanh_nghiệp_tư_nhân dntn chi_nhánh kho_bạc bảo_hiểm_xã_hội bảo_tàng thư_viện
""")
ORGANISATION_INNER: Final = _words(
    """
    đội nhiên gia điển học nhân văn kinh sư phạm bách khoa ngoại ngữ xã hàng hải thủy lợi giao sản lâm
        tnhh cổ phần cp mtv trách nhiệm hữu hạn một thành viên hai thương mại dịch vụ sản xuất xây dựng đầu tư xuất
        nhập khẩu và phát triển công nghệ kỹ thuật tư vấn du lịch vận tải quốc tế giáo dục bất động sản bảo hiểm chứng
        khoán điện tử cơ khí thực phẩm dược y tế nhân dân tỉnh huyện quận phường xã thành phố phố thông nhà nước việt
        khoa học đào tạo chính pháp an nghệ môi trường nông nghiệp công thương ngoại giao văn hóa thể thao lao động
        thông tin truyền chi nhánh nội vụ tài hoạch kế thuế & thuật tạo tư dân nước nghiệp lập hội luật tế dựng thao
        vận lịch phục sức khỏe phẩm mềm phần khí gốm sứ may mặc nội thất in ấn
    """
)
COMPANY_SUFFIXES: Final = _words(
    "ltd ltd. inc inc. llc gmbh corp corp. co co. plc ag kg bv nv sa s.a. s.a pte jsc limited"
    " incorporated corporation company group holdings university college institute hospital bank"
    " ministry foundation association airlines laboratories"
)
FIRST_NAMES: Final = _words(
    """
        James John Robert Michael William David Richard Joseph Thomas Charles Christopher Daniel Matthew Anthony Mark
        Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Edward Ronald Timothy Jason Jeffrey Ryan Jacob
        Gary Nicholas Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin Samuel Gregory Frank Alexander Raymond
        Patrick Jack Dennis Jerry Tyler Aaron Jose Adam Nathan Henry Douglas Peter Simon Martin Oliver Harry Oscar Leo
        Max Felix Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Lisa Nancy Betty Margaret
        Sandra Ashley Kimberly Emily Donna Michelle Carol Amanda Dorothy Melissa Deborah Stephanie Rebecca Sharon
        Laura Cynthia Kathleen Amy Angela Shirley Anna Brenda Pamela Emma Nicole Helen Samantha Katherine Christine
        Debra Rachel Carolyn Janet Catherine Maria Heather Diane Ruth Julie Olivia Joyce Virginia Victoria Kelly
        Lauren Christina Joan Evelyn Judith Megan Andrea Cheryl Hannah Jacqueline Martha Gloria Teresa Ann Sara
        Madison Frances Kathryn Janice Jean Alice Julia Grace Sophia Isabella Amelia Charlotte Mia Lucy Jane Ella
        Chloe Claire Eleanor Nora Ivan Omar Ali Ahmed Fatima
    """
)
# What often stands before a colon, and after it a name.
NAME_FIELDS: Final = frozenset(
    _phrases("""
        họ_và_tên họ_tên tên người_lập người_ký người_bán người_mua khách_hàng bên_a bên_b đại_diện liên_hệ
        người_liên_hệ bệnh_nhân bác_sĩ chủ_nhà bên_thuê bên_cho_thuê tác_giả giám_đốc nơi_sinh quê_quán nơi_cấp đơn_vị
        nhà_cung_cấp hãng_sản_xuất name customer client tenant landlord doctor patient from to attn contact author
        signed company seller buyer supplier vendor manufacturer employer employee lessor lessee physician engineer
        manager prepared_by approved_by written_by ship_to bill_to sold_to brand city country place
    """)
)
# Single words with capitals that name nothing: abbreviations of forms and measures, and what Vietnamese laws write so.
ACRONYMS: Final = _words(
    """
    cccd cmnd mst stk tnhh ubnd htx mtv gplx gst vat tva btw pdf usb led lcd iban bic swift url http https html
    api faq ceo cfo cto isbn qr gps ram rom cpu gpu sim wifi kwh gwh mwh kwp iii vii viii xii xiii tel fax nghị
    luật điều khoản thông quyết hợp bên phụ chương mục bộ nhà tòa toà đảng hiến chính quốc trưởng phó tổng ban
    phòng hội đồng yêu cầu ngày tháng năm hình bảng trang
    """
)
