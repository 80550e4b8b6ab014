// What the page holds, its pictures, and how texts are compared with a search.
const data = JSON.parse(document.getElementById("content").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const COUNT = data.x.length;
const pictureOf = (i) => (data.picture[i] < 0 ? "" : pictures[data.picture[i]]);
const pictureUrl = (i) => (pictureOf(i) ? `data:image/webp;base64,${pictureOf(i)}` : "");

// Without tone marks a search finds words with any; with them, only the words as they are written.
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/g, "d");
const lowered = (text) => text.normalize("NFC").toLowerCase();
