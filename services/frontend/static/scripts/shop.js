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
  // It takes no space while it is empty.
  status.className = "visually-hidden";
  cart.before(status);
  const say = (text, name) => {
    status.textContent = text;
    status.className = name;
  };

  const show = (page, url) => {
    const hasForm = (cart) => cart.querySelector("form.cart-checkout-form") !== null;
    if (!page.querySelector(lines) || hasForm(page) !== hasForm(document)) {
      location.assign(url);
      return;
    }
    const place = controls().indexOf(document.activeElement);
    for (const part of [lines, ".cart-link"]) {
      document.querySelector(part).replaceWith(page.querySelector(part));
    }
    // The note about what is out comes and goes with it.
    document.querySelector(".degraded")?.remove();
    const note = page.querySelector(".degraded");
    if (note) {
      document.querySelector(".navbar").before(note);
    }
    if (place >= 0) {
      controls()[Math.min(place, controls().length - 1)].focus();
    }
    say(document.querySelector(".cart-summary-total-row").textContent, "visually-hidden");
  };

  // Changes are sent one after another, and the last answer is shown.
  let sent = Promise.resolve();
  let last;
  const send = async (change) => {
    const answer = await fetch(change.url, { method: "POST", body: change.fields });
    if (!answer.ok) {
      throw new Error(answer.statusText);
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (change === last) {
      show(page, answer.url);
    }
  };
  cart.addEventListener("submit", (event) => {
    if (!event.target.closest(".cart-summary-item-row")) {
      return;
    }
    event.preventDefault();
    const change = { url: event.target.action, fields: new URLSearchParams(new FormData(event.target)) };
    // The Enter key changes a field, and then sends its form.
    if (last?.url === change.url && `${last.fields}` === `${change.fields}`) {
      return;
    }
    last = change;
    sent = sent
      .then(() => send(change))
      .catch(() => say("The cart could not be changed. Please try again.", "form-alert"))
      .finally(() => {
        if (change === last) {
          last = undefined;
        }
      });
  });
  cart.addEventListener("change", (event) => {
    if (event.target.name === "quantity") {
      event.target.form.requestSubmit();
    }
  });
}
