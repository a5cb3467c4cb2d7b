// A new currency is asked for as soon as it is chosen.
const form = document.getElementById("currency_form");
if (form) {
  form.querySelector("select").addEventListener("change", () => form.submit());
}
