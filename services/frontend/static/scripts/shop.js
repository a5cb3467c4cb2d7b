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

// An order is sent once; whoever comes back to the page can send it again.
const checkout = document.querySelector("form.cart-checkout-form");
if (checkout) {
  const button = checkout.querySelector("button");
  checkout.addEventListener("submit", () => { button.disabled = true; });
  addEventListener("pageshow", () => { button.disabled = false; });
}

// A line of the cart is changed without loading the page again, which keeps what was entered in the checkout form.
const cart = document.querySelector(".cart-columns");
if (cart) {
  const lines = ".cart-summary-section";
  const controls = () => [...cart.querySelectorAll(`${lines} :is(a, button, input)`)];
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  // It takes no room before it says something.
  status.className = "visually-hidden";
  cart.before(status);
  const say = (text, name) => {
    status.textContent = text;
    status.className = name;
  };

  const show = (page, url) => {
    const isForm = (page) => page.querySelector("form.cart-checkout-form") !== null;
    if (!page.querySelector(lines) || isForm(page) !== isForm(document)) {
      location.assign(url);
      return;
    }
    const place = controls().indexOf(document.activeElement);
    for (const part of [lines, ".cart-link"]) {
      document.querySelector(part).replaceWith(page.querySelector(part));
    }
    if (place >= 0) {
      controls()[Math.min(place, controls().length - 1)].focus();
    }
    say(document.querySelector(".cart-summary-total-row").textContent, "visually-hidden");
  };

  // Changes are sent one after another, and the last answer is shown.
  let sent = Promise.resolve();
  let last;
  const change = async (form) => {
    const answer = await fetch(form.url, { method: "POST", body: form.fields });
    if (!answer.ok) {
      throw new Error(answer.statusText);
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (form === last) {
      show(page, answer.url);
    }
  };
  cart.addEventListener("submit", (event) => {
    if (!event.target.closest(".cart-summary-item-row")) {
      return;
    }
    event.preventDefault();
    const form = { url: event.target.action, fields: new URLSearchParams(new FormData(event.target)) };
    // The Enter key changes a field, and then sends its form.
    if (last && last.url === form.url && `${last.fields}` === `${form.fields}`) {
      return;
    }
    last = form;
    sent = sent
      .then(() => change(form))
      .catch(() => say("The cart could not be changed. Please try again.", "form-alert"))
      .finally(() => { last = form === last ? undefined : last; });
  });
  cart.addEventListener("change", (event) => {
    if (event.target.name === "quantity") {
      event.target.form.requestSubmit();
    }
  });
}
