"""
Names of people, organisations and places in Chinese, by family names, titles and what organisations' names end
with.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from vipylo_rag.graph.elements import NAME
from vipylo_rag.graph.rules_text import HAN, Found

_FAMILIES: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤温康施文牛樊葛邢安齐"
    "王李張劉陳楊黃趙吳馬羅鄭謝許韓馮鄧葉蘇魏呂盧鍾譚陸賈韋鄒"
)
_DOUBLE: Final = "欧阳|司马|诸葛|上官|皇甫|令狐|慕容|司徒|东方|尉迟|公孙|夏侯"
_FAMILY: Final = rf"(?:{_DOUBLE}|[{_FAMILIES}])"
_TITLE: Final = (
    "先生|女士|小姐|教授|博士|医生|医师|护士|经理|总经理|主任|董事长|总监"
    "|律师|老师|工程师|同志|校长|院长|部长|市长|书记|主席|总裁|院士|处长|科长|局长|主管|组长|班长|队长|店长|厂长|站长|船长|机长"
    "|护士长|技术员|会计|秘书|法官|检察官|警官|药剂师|设计师|师傅"
)
# Said of a person, whose name follows at once: "会员赵雅琴来电".
_ROLE: Final = (
    "会员|成员|客户|顾客|用户|乘客|住户|业主|租户|租客|患者|病人|学生|同学|员工|职员|工人|司机|旅客|游客|客人|嘉宾|投保人|申请人"
    "|经理|总经理|副总经理|主任|副主任|主管|组长|班长|队长|店长|厂长|站长|船长|机长|董事长|董事|总监|总裁|主席|书记|部长|局长|处长|科长|院长|校长|市长"
    "|教授|博士|医生|医师|护士|护士长|药剂师|技师|技术员|工程师|设计师|电工|会计|出纳|秘书|律师|法官|检察官|警官|老师|教师|师傅|保安|值班员|操作员|检验员"
    "|维修员|管理员|采购员|销售员|记者|作家|演员|导演|歌手"
)
# What follows a name in a sentence.
_AFTER_NAME: Final = (
    "[的在于说和与及、，。；：,.;:（(将已并因从被把就也对向给为是有请问签报等！？]|先生|女士|来电|来信|来访|表示|指出|认为|要求|提出|负责|主持|更换"
    "|检查|完成|发现|确认|批准|反映|投诉|申请|签字|签名|担任|参加|汇报|到达|提交|收到|购买|出席|代表|宣布|介绍"
)
_BEFORE: Final = (
    "姓名|联系人|负责人|法定代表人|代表人|代表|出租人|承租人|出租方|承租方|买方|卖方|患者|病人|医生|医师|作者|签字|签名|审核人|制表人|经办人|收件人|寄件人|投保人"
    "|被保险人|主任|教授|经理|董事长|总裁|校长|工程师|律师|客户|用户|乘客|持证人|申请人|房东|租客"
)
# In a given name, these are rather the next word.
_NO_GIVEN: Final = "的了和与及或是在有为对以于从到由被把将向给让说等总副老签审"
_PEOPLE: Final = (
    re.compile(rf"(?P<name>{_FAMILY}(?![{_NO_GIVEN}])[{HAN}](?:(?![{_NO_GIVEN}])[{HAN}])?)(?={_TITLE})"),
    re.compile(
        rf"(?:{_BEFORE})(?:（[^）\n]{{1,8}}）|\([^)\n]{{1,8}}\))?[ \t]*(?:[:：][ \t]*\n?[ \t]*|[ \t]+|(?<=主任"
        rf"|教授|经理|律师)|(?<=董事长)|(?<=工程师))"
        rf"(?P<name>{_FAMILY}(?![{_NO_GIVEN}])[{HAN}](?:(?![{_NO_GIVEN}])[{HAN}])?)(?![{HAN}])"
    ),
    re.compile(
        rf"(?:姓名|联系人|负责人|主持人|记录人|汇报人|报告人|经办人|审核人|制表人|收件人|法定代表人|申请人"
        rf"|签发人)[ \t]*[:：][ \t]*"
        rf"(?P<name>[{HAN}]{{2,4}})(?![{HAN}])"
    ),
    re.compile(
        rf"(?:{_ROLE})(?P<name>{_FAMILY}(?![{_NO_GIVEN}])[{HAN}](?:(?![{_NO_GIVEN}])[{HAN}])?)(?={_AFTER_NAME}|(?![{HAN}]))"
    ),
    re.compile(rf"(?:由|请|找)(?P<name>{_FAMILY}[{HAN}]{{1,2}})(?=负责|主持|签|编写|撰写|担任|审核|批准|联系)"),
)
_FUNCTION: Final = (
    "的了和与及或是在有为对以于从到由被把将向给让使而但这那此其之所者们我你您他她它各每该某着过请因当经按跟同至"
)
_SUFFIX: Final = (
    "股份有限公司|有限责任公司|有限公司|集团公司|总公司|分公司|公司|集团|大学|学院|医院|银行|研究院|研究所|研究中心|委员会|人民法院|法院|检察院|人民政府|协会|学会"
    "|中学|小学|出版社|博物馆|图书馆|事务所|派出所|工厂|电视台|基金会|公安局|税务局|管理局|监督局|教育局|卫生局|"
    "教育部|卫生部|财政部|商务部|外交部|国防部|公安部"
)
# What a clause has before an organisation, and an organisation's name does not begin with.
_CUT = re.compile(
    rf"[{_FUNCTION}]|根据|按照|依照|遵照|通过|经过|由于|关于|联系|通知|包括|属于|成立|加入|选择|使用|提供|位于|防止|许多|許多|"
    r"(?:[一二两三四五六七八九十几数多每整全\d]+|任意|其中)(?:家|个|個|所|座|间|名|大)|"
    r"^(?:甲方|乙方|丙方|供方|需方|名称|单位|卖方|买方|标准|如|即)"
)
# Such characters are inside names as well.
_INSIDE_NAMES: Final = frozenset(
    [
        "华为",
        "共和",
        "太和",
        "永和",
        "协和",
        "人和",
        "中和",
        "和平",
        "和谐",
        "同济",
        "同仁",
        "同方",
        "大同",
        "有限",
        "以色",
        "经济",
        "经贸",
        "为民",
        "对外",
    ]
)
_GENERIC: Final = frozenset(
    f"{before}{suffix}"
    for before in (
        "",
        "本",
        "该",
        "贵",
        "我",
        "我们",
        "一家",
        "各",
        "其他",
        "某",
        "子",
        "分",
        "总",
        "母",
        "新",
        "原",
        "保险",
        "两家",
        "外国",
        "外资",
        "物业",
        "上市",
        "科技",
        "大",
        "小",
        "多家",
        "所有",
        "任何",
        "国有",
        "股份",
        "有限",
        "商业",
        "综合",
        "附近",
        "当地",
    )
    for suffix in (*_SUFFIX.split("|"),)
)
# "航空公司" is a kind, and with what stands before it a name; behind a line's end it is the rest of one.
_KIND: Final = (
    "航空|电信|电力|保险|物流|运输|通信|通讯|通话|工程|科技|技术|贸易|商贸|电子|设备|机械|制造|建筑|建设|装饰|食品|医药|制药|化工|能源|环保|信息|网络|软件|传媒"
    "|文化|教育|咨询|管理|服务|投资|实业|发展|国际|集团|股份|房地产|置业|旅游|汽车|服装|纺织|印刷|包装|家具|家电|五金|塑料|钢铁|矿业|农业|水产|酒店|餐饮"
    "|证券|基金|信托|租赁|担保|安保|保安|搬家|快递|外卖|清洁|供水|供电|自来水|燃气|石油|铁路|公交|出租车|广告|设计|研究|国家|公立|私立|私人|民营|地方|综合|中心"
    "|人寿|财产|进出口|自动化|材料|仪器|仪表|光电|生物|健康|新能源"
)
_ONLY_KIND = re.compile(rf"(?:{_KIND})+(?:{_SUFFIX})")
_BROKEN = re.compile(rf"(?<=[{HAN}）)])[ \t]*\n[ \t]*(?=[{HAN}（(])")
_GOES_ON = re.compile(rf"(?:{_KIND})*(?:{_SUFFIX})")
_CLOSED = re.compile(rf"(?:{_SUFFIX}|部|人|方|号|址|期|额|名称|单位)$")
_WIDE: Final = 18
_ORGANISATION = re.compile(rf"[{HAN}A-Za-z0-9（）()·&]{{2,26}}?(?:{_SUFFIX})(?![{HAN}]{{0,2}}(?:{_SUFFIX}))")
_PLACES: Final = (
    "北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西"
    "|西藏|宁夏|新疆|香港|澳门|深圳|广州|杭州|南京|武汉|成都|西安|苏州|青岛|大连|宁波|厦门|沈阳|哈尔滨|长春|济南|郑州|长沙|昆明|南宁|福州|合肥|南昌|"
    "贵阳|兰州|海口|三亚|东莞|佛山|无锡|常州|温州|珠海|中山|惠州|桂林|洛阳|烟台|徐州|台北|高雄|景德镇|义乌|中国|越南|河内|胡志明市|岘港|海防|顺化|芽庄|会安"
    "|美国|英国|法国|德国|日本|韩国|新加坡|泰国|印度|俄罗斯|澳大利亚|加拿大|意大利|西班牙|东京|纽约|伦敦|巴黎|柏林|欧洲|亚洲|非洲|欧盟|联合国"
)
_GAZETTEER = re.compile(rf"(?:{_PLACES})(?:(?<!国)(?:省|市|自治区))?")
_AREA = re.compile(
    rf"(?:(?<=[省市州区县，。、：:\s（(])|(?<=[在到从于位]))(?P<name>(?:(?![{_FUNCTION}])[{HAN}]){{1,4}}?(?:市|县"
    rf"|区|镇|乡|街道|路|大道))(?!场|民|政|别|域|分|间|由|线|径|上|口|人|面)"
)
_NO_AREA: Final = re.compile(
    r".*(?:城市|都市|超市|上市|门市|股市|地区|社区|园区|小区|灾区|景区|校区|市区|郊区|厂区|山区|城区|区县|公路|道路|铁路|电路|线路|网路|通路|思路|出路"
    r"|[心语街费息公作活车验诊住居商禁控检存储装卸候办等吸]区|[几一二两三四五六七八九十多数每整全自该本此].*|"
    r"马路|回路|短路|开路|高速|乡镇|城镇|城乡|各市|本市|全市|本县|一路|旁路|管路|油路|水路|气路)"
)
_TITLED = re.compile(r"《(?P<name>[^《》\n]{2,40})》")


def chinese_names(text: str) -> Iterator[Found]:
    """The Chinese names in a text: works in 《》, people, organisations, places."""
    if not re.search(rf"[{HAN}]", text):
        return
    text, seams = _without_breaks(text)
    shifts = [shift for _, shift in seams]
    starts = [at for at, _ in seams]
    taken: list[tuple[int, int]] = []

    def free(start: int, end: int) -> bool:
        return all(end <= a or b <= start for a, b in taken[-40:])

    for one in [*_works(text), *_organisations(text), *_people(text), *_places(text)]:
        if free(one.start, one.end):
            taken.append((one.start, one.end))
            begin = shifts[bisect_right(starts, one.start) - 1]
            finish = shifts[bisect_right(starts, one.end - 1) - 1]
            yield replace(one, start=one.start + begin, end=one.end + finish)


def _without_breaks(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without the line ends inside sentences and names; (place in it, how much further that is in the text) from
    each seam on."""
    parts: list[str] = []
    seams, begin, length = [(0, 0)], 0, 0
    for broken in _BROKEN.finditer(text):
        line = text[text.rfind("\n", 0, broken.start()) + 1 : broken.start()]
        if len(line) >= _WIDE or (_GOES_ON.match(text, broken.end()) and len(line) >= 2 and not _CLOSED.search(line)):
            parts.append(text[begin : broken.start()])
            length += broken.start() - begin
            begin = broken.end()
            seams.append((length, begin - length))
    return "".join([*parts, text[begin:]]), seams


def _works(text: str) -> Iterator[Found]:
    for match in _TITLED.finditer(text):
        yield Found(NAME, match["name"].strip(), match.start("name"), match.end("name"))


def _organisations(text: str) -> Iterator[Found]:
    for match in _ORGANISATION.finditer(text):
        begin = _own_start(match[0])
        name = match[0][begin:]
        balanced = name.count("（") == name.count("）") and name.count("(") == name.count(")")
        if (
            len(name) >= 4
            and balanced
            and name not in _GENERIC
            and not _ONLY_KIND.fullmatch(name)
            and re.search(rf"[{HAN}]", name)
        ):
            yield Found(NAME, name, match.start() + begin, match.end())


def _own_start(written: str) -> int:
    """Where in what stands before a suffix the name begins: at the last place, or behind the last word that belongs to
    the sentence."""
    begin = 0
    for cut in _CUT.finditer(written[:-2]):
        pair = written[max(0, cut.start() - 1) : cut.start() + 1], written[cut.start() : cut.start() + 2]
        if not _INSIDE_NAMES.intersection(pair):
            begin = cut.end()
    place = next((found.start() for found in _GAZETTEER.finditer(written) if found.start() > begin), None)
    if place is not None and written[begin:place].startswith(("位", "设", "来自", "前往", "如", "即")):
        begin = place
    closing = re.match(r"[^（(]*[）)]", written[begin:])
    return begin + (closing.end() if closing else 0)


def _people(text: str) -> Iterator[Found]:
    known: dict[str, None] = {}
    for form in _PEOPLE:
        for match in form.finditer(text):
            name = match["name"]
            if not re.search(rf"{_GENERIC_PERSON}", name):
                known[name] = None
    for name in known:
        for match in re.finditer(re.escape(name), text):
            yield Found(NAME, name, match.start(), match.end())


_GENERIC_PERSON: Final = (
    "经理|工程|主管|技术|高级|金融|万元|方案|任何|余额|文件|石油|安全|段落|温度|金额|时间|高等|程序|方法|方面|方便|马上|高度|高效|高兴|白色|黄色|黄金"
    "|任务|任职|任命|余下|江湖|江苏|毛病|万一|雷达|石头|牛奶|马路|施工|施行|武器|康复|温馨|陆续|钱款|顾问|关于|关系|关注|汪洋|常见|常用"
)


def _places(text: str) -> Iterator[Found]:
    for match in _GAZETTEER.finditer(text):
        name = match[0]
        bare = re.sub(r"(?<=..)(?:省|自治区)$|(?<=..)市$", "", name) if name != "胡志明市" else name
        yield Found(NAME, bare, match.start(), match.end())
    for match in _AREA.finditer(text):
        name = match["name"]
        if len(name) >= 3 and not _NO_AREA.match(name):
            yield Found(NAME, name, match.start(), match.end())
