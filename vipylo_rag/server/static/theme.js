// Runs before the first paint, so that nobody who reads in the dark sees a white flash.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("vipylo.theme");
  } catch {
    // Storage is closed to this page: the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
