"""What the HTML page says, in English and Vietnamese: both are in the page, and a switch without script shows one."""

from html import escape
from typing import Final

# key: (English, Vietnamese)
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Evaluation", "Đánh giá"),
    "queries": ("queries", "truy vấn"),
    "documents": ("documents", "tài liệu"),
    "pages": ("pages", "trang"),
    "embedder": ("embedder", "mô hình nhúng"),
    "results": ("Results", "Kết quả"),
    "mode": ("mode", "chế độ"),
    "all": ("all queries", "mọi truy vấn"),
    "text": ("text", "chữ"),
    "image": ("image", "ảnh"),
    "mixed": ("image and text", "ảnh và chữ"),
    "interval": ("95 % interval", "khoảng tin cậy 95 %"),
    "every figure": ("Every figure with its interval", "Mọi số đo kèm khoảng tin cậy"),
    "metric": ("metric", "số đo"),
    "differences": ("Differences", "Chênh lệch"),
    "differences note": (
        "Over the queries that both sides have. The interval is of the mean difference per query; p is how often "
        "chance alone gives one as large.",
        "Trên các truy vấn mà hai bên cùng có. Khoảng tin cậy là của chênh lệch trung bình từng truy vấn; p là xác "
        "suất ngẫu nhiên cho chênh lệch lớn như vậy.",
    ),
    "difference": ("difference", "chênh lệch"),
    "earlier": ("now − earlier", "nay − trước"),
    "better": ("better", "tốt hơn"),
    "worse": ("worse", "kém hơn"),
    "distribution": ("Where the first right document stands", "Tài liệu đúng đầu tiên ở hạng nào"),
    "rank": ("rank", "hạng"),
    "not found": ("not found", "không thấy"),
    "per query": ("per query", "từng truy vấn"),
    "histogram note": (
        "Queries by their value, from 0 (left) to 1 (right).",
        "Số truy vấn theo giá trị, từ 0 (trái) đến 1 (phải).",
    ),
    "worst": ("The worst queries", "Các truy vấn kém nhất"),
    "worst note": (
        "Lowest first, in the mode {mode}: what was asked, what would have been right, and the first 3 found.",
        "Từ thấp nhất, ở chế độ {mode}: câu hỏi, trang đúng, và 3 kết quả đầu.",
    ),
    "none worse": ("No query is less than perfect.", "Mọi truy vấn đều đạt tối đa."),
    "asked": ("asked", "hỏi"),
    "right": ("right", "đúng"),
    "found": ("found", "tìm thấy"),
    "grade": ("grade", "mức"),
    "not in first": ("not in the first {depth}", "không có trong {depth} kết quả đầu"),
    "more right": ("and {count} more right documents", "và {count} tài liệu đúng khác"),
    "first right": ("first right document", "tài liệu đúng đầu tiên"),
    "nothing found": ("Nothing was found.", "Không tìm thấy gì."),
    "no picture": ("(picture left out)", "(ảnh được lược bỏ)"),
    "definitions": ("How to read this", "Cách đọc"),
    "ndcg": (
        "nDCG@k: sum of grade / log2(rank + 1) over the right documents among the first k, divided by the sum of the "
        "best possible order. Gains are linear, as in trec_eval.",
        "nDCG@k: tổng mức / log2(hạng + 1) của các tài liệu đúng trong k kết quả đầu, chia cho tổng của thứ tự tốt "
        "nhất. Mức được dùng tuyến tính, như trec_eval.",
    ),
    "recall": (
        "recall@k: share of a query's right documents that are among the first k.",
        "recall@k: tỉ lệ tài liệu đúng của một truy vấn nằm trong k kết quả đầu.",
    ),
    "mrr": (
        "MRR@k: mean of 1 / rank of the first right document; 0 where none is among the first k.",
        "MRR@k: trung bình của 1 / hạng của tài liệu đúng đầu tiên; 0 nếu không có trong k kết quả đầu.",
    ),
    "intervals": (
        "Intervals: BCa bootstrap over queries, fixed seed. None is given for fewer than five queries, or where "
        "all have the same value.",
        "Khoảng tin cậy: bootstrap BCa trên các truy vấn, hạt giống cố định. Không có nếu ít hơn năm truy vấn, hoặc "
        "mọi giá trị bằng nhau.",
    ),
    "ties": (
        "Documents with equal scores stand in the order of the search (by a hash of what they show). A right document "
        "beyond rank {depth} counts as not found.",
        "Tài liệu cùng điểm đứng theo thứ tự của tìm kiếm (theo mã băm nội dung trang). Tài liệu đúng sau "
        "hạng {depth} coi như không thấy.",
    ),
    "ties of runs": (
        "Documents with equal scores stand as in trec_eval: by name, the last of the alphabet first. A right document "
        "beyond rank {depth} counts as not found; so does every one of a query that a run does not have.",
        "Tài liệu cùng điểm đứng như trong trec_eval: theo tên, xếp ngược bảng chữ cái. Tài liệu đúng sau hạng {depth} "
        "coi như không thấy; truy vấn không có trong tệp xếp hạng cũng vậy.",
    ),
    "run files": ("rankings from files", "xếp hạng đọc từ tệp"),
    "unjudged": (
        "{count} queries without a right document in the split are left out.",
        "{count} truy vấn không có tài liệu đúng trong phần này được bỏ qua.",
    ),
    "empty": (
        "{count} documents have neither text nor picture: they are not embedded, and never found.",
        "{count} tài liệu không có cả chữ lẫn ảnh: chúng không được nhúng và không bao giờ được tìm thấy.",
    ),
}


def say(key: str, **values: object) -> str:
    """HTML that says it in both languages. `values` are escaped."""
    return "".join(
        f'<span class="w" lang="{language}">{escape(text.format(**values))}</span>'
        for language, text in zip(("en", "vi"), _WORDS[key], strict=True)
    )


def plain(key: str) -> str:
    """It in English, where no markup can stand."""
    return _WORDS[key][0]
