"use strict";
// What the interface says, in its three languages. {names} are filled in.
const WORDS = {
  vi: {
    heading: "Đồ thị trang: {title}", summary: "{nodes} nút · {edges} liên kết", of: "{shown} trong {held}",
    about: "Đồ thị này cho thấy gì",
    aboutNodes: "Tài liệu, trang, hình và thực thể (tên, mã, ngày, số tiền, đề mục, thuật ngữ…) là nút; nút thực thể càng lớn thì càng nhiều trang nhắc đến nó. Nút gần nhau là có liên kết; khoảng cách xa không có ý nghĩa riêng.",
    aboutEdges: "Chỉ vẽ hai liên kết mạnh nhất của mỗi nút: thực thể trên ít trang nói lên nhiều hơn thực thể trên trăm trang. Rê chuột hay chọn một nút thì mọi liên kết của nó hiện ra. Nét đứt: hai trang giống nhau theo vectơ.",
    aboutLeft: "Còn {count} nút ít liên kết nhất không có ở đây (giới hạn --limit).",
    aboutFile: "Tệp này chứa ảnh nhỏ của trang, phần đầu văn bản và các câu nhắc đến thực thể: ai có tệp sẽ thấy chúng. Nó không tải gì từ mạng.",
    keys: "Phím: mũi tên để di chuyển, + và − để phóng, 0 để xem tất cả, N và P để qua từng nút, Esc để bỏ chọn, / để tìm.",
    graph: "Đồ thị trang", zoomIn: "Phóng to", zoomOut: "Thu nhỏ", fit: "Xem tất cả",
    pictures: "Ảnh trang", links: "Mọi liên kết", find: "Tìm tên, tệp, nội dung…",
    foundCount: "{count} nút khớp", nothing: "Không có nút nào khớp.", most: "Nhiều liên kết nhất", found: "Kết quả",
    kinds: "Loại nút", all: "Hiện hết", only: "chỉ cái này", more: "… và {count} nữa.",
    page: "trang {page}", close: "Đóng", noText: "Trang không có văn bản.",
    neighbours: "{count} liên kết", hidden: "Nút này đang bị ẩn trong danh sách loại.",
    label_document: "tài liệu", label_page: "trang", label_figure: "hình", label_name: "tên", label_code: "mã", label_date: "ngày",
    label_amount: "số tiền, số đo", label_heading: "đề mục", label_term: "thuật ngữ",
    out_HAS_PAGE: "Các trang", in_HAS_PAGE: "Tài liệu", out_NEXT: "Trang sau", in_NEXT: "Trang trước", out_HAS_FIGURE: "Hình trên trang",
    in_HAS_FIGURE: "Trên trang", out_MENTIONS: "Nhắc đến", in_MENTIONS: "Được nhắc đến trên", out_NEAR: "Trang giống", in_NEAR: "Trang giống",
  },
  en: {
    heading: "Graph of pages: {title}", summary: "{nodes} nodes · {edges} links", of: "{shown} of {held}",
    about: "What this graph shows",
    aboutNodes: "Documents, pages, figures and entities (names, codes, dates, amounts, headings, terms…) are nodes; the more pages mention an entity, the larger it is. Nodes that are close are linked; long distances mean nothing of their own.",
    aboutEdges: "Only the two strongest links of each node are drawn: an entity on few pages says more than one on a hundred. Point at a node or choose it, and all of its links show. Dashed: two pages that are alike by their vectors.",
    aboutLeft: "{count} nodes, those with the fewest links, are left out (the limit is --limit).",
    aboutFile: "This file holds small pictures of the pages, the beginnings of their texts and the sentences that entities stand in: whoever has it sees them. It loads nothing from the network.",
    keys: "Keys: arrows move, + and − zoom, 0 shows everything, N and P step through the nodes, Esc deselects, / searches.",
    graph: "Graph of the pages", zoomIn: "Zoom in", zoomOut: "Zoom out", fit: "Show everything",
    pictures: "Page pictures", links: "All links", find: "Search names, files, texts…",
    foundCount: "{count} nodes match", nothing: "No node matches.", most: "Most connected", found: "Found",
    kinds: "Kinds of nodes", all: "Show all", only: "only this", more: "… and {count} more.",
    page: "page {page}", close: "Close", noText: "The page has no text.",
    neighbours: "{count} links", hidden: "This node is switched off in the list of kinds.",
    label_document: "document", label_page: "page", label_figure: "figure", label_name: "name", label_code: "code", label_date: "date",
    label_amount: "amount", label_heading: "heading", label_term: "term",
    out_HAS_PAGE: "Pages", in_HAS_PAGE: "Document", out_NEXT: "Next page", in_NEXT: "Page before", out_HAS_FIGURE: "Figures on it",
    in_HAS_FIGURE: "On page", out_MENTIONS: "Mentions", in_MENTIONS: "Mentioned on", out_NEAR: "Pages like it", in_NEAR: "Pages like it",
  },
  zh: {
    heading: "页面图谱：{title}", summary: "{nodes} 个节点 · {edges} 条关联", of: "{shown} / {held}",
    about: "这张图谱显示什么",
    aboutNodes: "文档、页面、图和实体（名称、编号、日期、金额、标题、术语等）都是节点；提到某实体的页面越多，它就越大。靠近的节点有关联；远距离本身没有含义。",
    aboutEdges: "每个节点只画最强的两条关联：出现在少数页面的实体比出现在上百页的更能说明问题。指向或选中节点时显示它的全部关联。虚线：向量相似的两页。",
    aboutLeft: "另有 {count} 个关联最少的节点未包含（上限由 --limit 设定）。",
    aboutFile: "本文件包含页面缩略图、文字开头以及实体所在的句子：拿到文件的人都能看到。它不从网络加载任何内容。",
    keys: "按键：方向键移动，+ 和 − 缩放，0 显示全部，N 和 P 逐个浏览节点，Esc 取消选择，/ 搜索。",
    graph: "页面图谱", zoomIn: "放大", zoomOut: "缩小", fit: "显示全部",
    pictures: "页面图片", links: "全部关联", find: "搜索名称、文件、文字…",
    foundCount: "{count} 个节点匹配", nothing: "没有匹配的节点。", most: "关联最多", found: "结果",
    kinds: "节点类型", all: "全部显示", only: "仅此项", more: "…… 还有 {count} 个。",
    page: "第 {page} 页", close: "关闭", noText: "此页没有文字。",
    neighbours: "{count} 条关联", hidden: "此节点已在类型列表中隐藏。",
    label_document: "文档", label_page: "页面", label_figure: "图", label_name: "名称", label_code: "编号", label_date: "日期",
    label_amount: "金额与数量", label_heading: "标题", label_term: "术语",
    out_HAS_PAGE: "页面", in_HAS_PAGE: "所属文档", out_NEXT: "下一页", in_NEXT: "上一页", out_HAS_FIGURE: "页面上的图",
    in_HAS_FIGURE: "所在页面", out_MENTIONS: "提到", in_MENTIONS: "出现于", out_NEAR: "相似页面", in_NEAR: "相似页面",
  },
};

let language = (navigator.languages || ["en"]).map((l) => l.slice(0, 2)).find((l) => l in WORDS) || "en";

function say(word, values = {}) {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// A label or relation of ours in words; one that a language model found, as it is called.
const known = (word, name) => (Object.hasOwn(WORDS[language], word) ? WORDS[language][word] : name);
const counted = (number) => number.toLocaleString(language);
