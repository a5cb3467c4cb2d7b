// A new currency is asked for as soon as it is chosen.
const form = document.getElementById("currency_form");
if (form) {
  form.querySelector("select").addEventListener("change", () => form.submit());
}

// The theme is the system's, until another is chosen here.
const controls = document.querySelector(".controls");
if (controls) {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme-switch";
  const show = () => {
    button.textContent = isDark() ? "\u2600" : "\u263e";
    button.setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    document.cookie = `shop_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    show();
  });
  show();
  controls.prepend(button);
}
