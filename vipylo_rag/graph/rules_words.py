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
# "Lead Poisoning What is it?": what follows a name is no part of it.
ENGLISH_QUESTIONS: Final = _words("what how why when where which is are was were does do can")
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
        đồng_chí phó mr mr. mrs mrs. ms ms. miss dr dr. prof prof. professor sir madam nurse engineer attorney captain
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
    xí_nghiệp doanh_nghiệp_tư_nhân dntn chi_nhánh kho_bạc bảo_hiểm_xã_hội bảo_tàng thư_viện
""")
ORGANISATION_INNER: Final = _words(
    """
        đội nhiên gia điển học nhân văn kinh sư nguyên binh phòng giao tộc thôn quân tối cao kiểm sát xổ kiến thiết
        trồng trọt thú thực vật dục thống kê địa mẫu giáo thiếu phạm bách khoa ngoại ngữ xã hàng hải thủy lợi sản lâm
        tnhh cổ phần cp mtv trách nhiệm hữu hạn một thành viên hai thương mại dịch vụ xuất xây dựng đầu tư nhập khẩu
        và phát triển công nghệ kỹ thuật vấn du lịch vận tải quốc tế bất động bảo hiểm chứng khoán điện tử cơ khí phẩm
        dược y dân tỉnh huyện quận phường phố thông nhà nước việt đào tạo chính pháp an môi trường nông nghiệp hóa thể
        thao lao tin truyền chi nhánh nội tài hoạch kế thuế & lập hội luật phục sức khỏe mềm gốm sứ may mặc thất in ấn
    """
)
# What says of an organisation what it does to whom, so that a name behind it is another one's.
VIETNAMESE_BEHIND_NAMES: Final = _words(
    """
        thuê nhờ mời gửi mua bán cử giao nhận ký kiện trả báo chuyển gặp mở thắng thua kiểm chọn thay tặng cấp nợ đòi
        chê khen sáp thâu góp hợp phối tài trình yêu đề thông hỏi cùng không trong tìm tuyển bắt nói viết tại hỗ
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
    qppl cccd cmnd mst stk tnhh ubnd htx mtv gplx gst vat tva btw pdf usb led lcd iban bic swift url http https html
    api faq ceo cfo cto isbn qr gps ram rom cpu gpu sim wifi kwh gwh mwh kwp iii vii viii xii xiii tel fax nghị
    luật điều khoản thông quyết hợp bên phụ chương mục bộ nhà tòa toà đảng hiến chính quốc trưởng phó tổng ban
    phòng hội đồng yêu cầu ngày tháng năm hình bảng trang
    """
)

# Words that are a person's part in something. The first are said of a person, and a name of any length follows them;
# the others stand before much else ("Member States", "Patient Safety"), so a name must have two words there.
ROLES: Final = _phrases("""
    director managing_director executive_director deputy_director general_manager chairman chairwoman chairperson
    vice_chairman president vice_president prime_minister deputy_prime_minister minister secretary secretary-general
    treasurer governor mayor senator ambassador   inspector sergeant lieutenant colonel  
    foreman supervisor superintendent ceo cfo cto coo chief_executive chief_engineer chief_accountant accountant auditor
    head_nurse nurse surgeon physician pharmacist therapist technician electrician mechanic  inspector_general
    engineer architect lawyer attorney notary  principal dean lecturer     cashier 
    reporter  rapporteur spokesman spokeswoman detective constable  captain skipper fireman caretaker
    librarian receptionist
    giám_đốc phó_giám_đốc tổng_giám_đốc phó_tổng_giám_đốc chủ_tịch phó_chủ_tịch chủ_tịch_nước tổng_bí_thư bí_thư
    phó_bí_thư thủ_tướng phó_thủ_tướng bộ_trưởng thứ_trưởng cục_trưởng vụ_trưởng viện_trưởng phó_viện_trưởng
    trưởng_phòng phó_phòng phó_trưởng_phòng trưởng_phòng_nhân_sự trưởng_phòng_kinh_doanh trưởng_phòng_kỹ_thuật
    trưởng_ban phó_ban phó_trưởng_ban trưởng_khoa phó_khoa trưởng_nhóm nhóm_trưởng tổ_trưởng tổ_phó đội_trưởng đội_phó
    trưởng_đoàn trưởng_ca trưởng_bộ_phận trưởng_thôn thư_ký kế_toán kế_toán_trưởng thủ_quỹ thủ_kho kỹ_thuật_viên
    quản_đốc đốc_công điều_dưỡng điều_dưỡng_viên điều_dưỡng_trưởng y_tá y_sĩ dược_sĩ hộ_sinh hiệu_trưởng hiệu_phó
    phó_hiệu_trưởng chủ_nhiệm giáo_viên giảng_viên đại_biểu đại_sứ luật_sư thẩm_phán chánh_án kiểm_sát_viên
    kiểm_soát_viên công_chứng_viên thuyền_trưởng thuyền_phó máy_trưởng cơ_trưởng tài_xế giám_sát_viên kiểm_toán_viên
    chuyên_viên nhà_văn nhà_thơ nhạc_sĩ nghệ_sĩ ca_sĩ diễn_viên đạo_diễn trọng_tài_viên cố_vấn trợ_lý đại_úy thiếu_tá
    trung_tá đại_tá thượng_tá trung_úy thiếu_tướng trung_tướng thợ_cả thợ_máy thợ_điện kỹ_sư kỹ_sư_trưởng bác_sĩ
    bệnh_nhân nhân_viên phát_thanh_viên
""")
WEAK_ROLES: Final = _phrases("""
    judge general major coach driver pilot operator officer editor author teacher clerk
    member patient resident tenant landlord guest customer client owner manager project_manager sales_manager employee
    student passenger witness applicant holder lessee lessor borrower beneficiary volunteer visitor subscriber user
    contact representative guide host donor candidate deputy chief chief_executive_officer chief_financial_officer
    staff_member head crew_member claimant plaintiff defendant insured
    thành_viên hội_viên đoàn_viên đảng_viên khách_hàng khách sinh_viên học_sinh nghiên_cứu_sinh công_nhân người_thuê
    người_thuê_nhà người_mua người_bán hành_khách chủ_nhà chủ_hộ chủ_xe lái_xe bảo_vệ quản_lý giám_sát cán_bộ tác_giả
    trọng_tài thanh_tra thợ người_bệnh thuyền_viên tình_nguyện_viên cộng_tác_viên ứng_viên nhân_chứng bị_cáo nguyên_đơn
    bị_đơn du_khách bạn_đọc độc_giả cư_dân hộ_dân người_lập người_ký chức_vụ
""")
# Nouns that English headings and offices have with capitals, and that are no name without another word.
ENGLISH_COMMON: Final = _words(
    """
        access account accounting action activity administration advice affairs agency agenda air alarm annex annual
        area assessment asset assistance assurance attachment audit authority award bachelor bank benefit bill bloc
        block board body bond book brand brief budget building bureau business cabinet campaign capital care career
        case cash catalogue category center centre central certificate change charge check checklist circuit city
        civil claim class cleaning clinic club code collection college commission commissioner committee communication
        communications community compliance component conference construction control controls coordinator copyright
        cost council country county course court cover credit crew culture currency damage date deadline decision
        declaration defence defense delivery department deposit design desk detail details development device diagram
        digital director directors directorate disclosure discharge distribution district division document
        documentation door drawing drug duty earth east eastern economy education effect electric electrical emergency
        employment energy engine engineering entry environment equipment error estate evaluation event exhibit expense
        export extinguisher facility factory family federal fee file finance financial fire firm fiscal floor food
        force foreign form forum foundation framework freight fuel function fund future gas general global goods
        government grant group guarantee guide guidelines guideline hall head health heating help history holder home
        hospital hotel house housing human identification import improvement incident income industry information
        initiative inspection installation institute insurance interest interior internal international internet
        inventory investment invoice island issue job journal judgment kitchen knowledge label labour labor land
        language law leader leadership learning lease legal letter level library licence license line list loan local
        location log logistics loss machine mail main maintenance majority management manual map market marketing
        master material materials maternity measure media medical medicine meeting member memorandum minister ministry
        minutes model module money motion motor museum national nation natural network news north northern notice
        object occupational office officer officers online operation operations operator opinion organisation
        organization original outpatient owner panel parameter parliament partner partnership patient pay people
        performance period permit personal personnel phase plan planning plant platform police policy pool port
        position post power practice premises press prevention principal private procedure procedures process
        procurement product production products professional program programme project projects property proposal
        protection protocol province provider public pump purchase purchasing quality quarter queen king rate reading
        reception record records recovery recruitment register registration regulation regulations relation relations
        release rent repair representative republic request requirement research reserve resident resolution resource
        resources response responsible responsibility rest restaurant retail return returns revenue risk river road
        role room route rule rules safety sales schedule scheme school science sea season sector security senate
        senior sensor server service services session settlement shift shipment shipping shop site social society
        software source south southern special specification speaker staff standard standards state states station
        statement statistics status store street strategy student subject suite supervisor supply support survey
        system systems tank target task tax team technical technology term test testing thesis ticket title tool tower
        town track trade trading traffic training transfer transport travel treasury treatment treaty trial trust
        union unit university update user utility valve value vehicle venue village visit visitor vote ward warehouse
        warranty waste water way welfare west western witness women work worker workers workplace works workshop world
        yard youth zone vice managing executive deputy assistant associate acting chief specialist junior flow
    """
)
# What companies' names have before their legal form, and people's and places' names do not begin with.
COMPANY_NOUNS: Final = _words(
    """
        packaging logistics shipping holdings industries industrial technologies trading foods pharmaceuticals chemicals
        electronics automotive engineering construction consulting solutions systems services partners associates
        manufacturing motors textiles investments capital insurance energy airlines aviation marine freight transport
        property properties realty publishing media entertainment networks telecom communications semiconductor software
        materials metals mining steel paper plastics furniture garments seafood beverages breweries dairy agro farms
        international group company corporation enterprises products brothers sons laboratories
    """
)
LEGAL_FORMS: Final = _words("ltd inc llc gmbh corp plc jsc limited ag incorporated corporation pte")
# Legal forms of companies in other languages of Europe.
FOREIGN_SUFFIXES: Final = COMPANY_SUFFIXES | _words(
    "ohg ug e.v. se mbh sas s.a.s sarl s.a.r.l srl s.r.l spa s.p.a b.v n.v ab oy oyj a/s aps asa sl s.l s.l.u"
    " ltda kft zrt"
    " d.o.o s.r.o"
) - _words("company group university college institute hospital bank ministry foundation association")
FOREIGN_TITLES: Final = _words(
    "herr herrn frau monsieur madame mme m señor señora sr sra signor signora sig dr prof dott ing"
)
# Frequent words of other languages in Latin letters that neither English nor Vietnamese writes so.
FOREIGN_IDLE: Final = _words(
    """
        der das und ist nicht ein eine einer eines einem einen den dem des mit von zu zum zur auf sich auch bei nach
        wird werden sind oder wie aus nur durch sie ihr ihre wir uns sein haben hat kann bis vom beim über ohne dass
        wenn unter le les et est une du dans pour que qui sur au aux avec ce cette ces sont pas il elle nous vous ou
        où leur leurs mais ne se ses sa toute tout tous être par selon el los las lo y por una uno del al su sus como
        pero más este esta estos estas sin sobre entre tiene ser está son la di che per della dei delle nel nella con
        non sono gli alla anche più questo questa degli dal dalla os um uma do da dos em na nos nas não ao pela pelo
        seu sua são foi você het een van voor dat niet zijn op te aan ook deze dit wordt naar uw bij w z się nie jest
        oraz przez od po dla jak które który przed są lub och att det som på är för inte med till av har ett kan eller
        om og til af ikke er a az és hogy nem egy ve bir bu için ile si în cu pe mai sau din ale ja ei joka että yang
        dan ini itu untuk dengan pada tidak dari dalam adalah akan ke
    """
) - (ENGLISH_IDLE | ENGLISH_PLAIN | _words("a"))
# Frequent words of Vietnamese written without its marks.
VIETNAMESE_BARE: Final = (
    _words(
        "cua cho duoc khong nguoi trong cac nhung voi theo hop dong ngay thang nam va la mot khi da cong ty hang"
        " dien thoai so"
    )
    - FOREIGN_IDLE
)
# Places whose Vietnamese name is one syllable; any other syllable with a capital is rather a part of something.
VIETNAMESE_SHORT_PLACES: Final = _words("mỹ pháp đức nga nhật anh áo ý ấn lào úc bỉ huế vinh việt séc hàn")
VIETNAMESE_BEFORE_PLACES: Final = _words("tiếng nước người")
# "Quốc hội", "Chủ tịch": only the first syllable has a capital, and it is no name.
VIETNAMESE_COMPOUNDS: Final = frozenset(
    tuple(phrase.split())
    for phrase in _phrases("""
        cộng_hòa cộng_hoà quốc_hội hội_đồng ủy_ban uỷ_ban tòa_án toà_án nhân_dân trung_ương chính_phủ viện_kiểm
        nhà_nước đại_học công_an công_ty giám_đốc chủ_tịch trưởng_phòng kế_toán nhân_sự kinh_doanh kỹ_thuật tài_chính
        hành_chính tổ_chức kiểm_toán xây_dựng kế_hoạch đầu_tư lao_động giáo_dục y_tế công_nghệ thông_tin khoa_học
        nông_nghiệp thương_mại văn_hóa tư_pháp nội_vụ quốc_phòng ngoại_giao bảo_hiểm ngân_hàng tập_đoàn trường_đại
        trung_tâm bệnh_viện liên_đoàn công_đoàn mặt_trận đảng_ủy tỉnh_ủy thành_phố huyện_ủy ban_quản ban_giám
        phòng_khám bộ_trưởng bộ_luật kiểm_sát điều_lệ hợp_đồng nghị_định thông_tư quyết_định tổng_cục tổng_công
        chi_cục chi_nhánh doanh_nghiệp nhà_máy khu_công
    """)
)
NEW_PLACES: Final = _words(
    "zealand york delhi jersey england mexico orleans caledonia guinea hampshire south brunswick"
)
# What a line of a form begins with, so that it is no part of the line above it.
VIETNAMESE_FIELD_STARTS: Final = _words(
    "địa chức đại điện mã số tài giám người kính cộng độc phòng ban tổ ngày họ tên nơi mst email fax tel ông bà bên căn"
)
# "yêu cầu", "văn bản": no bridge and no village.
VIETNAMESE_NO_STREET: Final = _words(
    "yêu nhu toàn phiên văn cơ căn xuất ấn kịch nhật bài thành nguyên hoàn ngoại quốc đồng"
)
