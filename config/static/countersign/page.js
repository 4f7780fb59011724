// What all pages share: the menu closes where one looks elsewhere, times are the reader's own, and the appearance is
// remembered in a cookie, which the server puts into the page, so that none flashes.

import "./moments.js";

const YEAR_SECONDS = 31536000;

for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      event.preventDefault(); // it means the menu, and nothing else on the page
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

for (const button of document.querySelectorAll("[data-theme-to]")) {
  button.addEventListener("click", () => {
    const theme = button.dataset.themeTo;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${theme}; Path=/; Max-Age=${theme ? YEAR_SECONDS : 0}; SameSite=Lax${secure}`;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  });
}
