// The shopping assistant's page: asks /bot, shows the answer, and beside it every product that the
// answer names as [ID]. Whatever comes from outside is shown as text, never as markup.
const chat = document.getElementById("chat-modal");
const base = chat.dataset.baseUrl;
const messages = document.getElementById("bot-messages");
const input = document.getElementById("bot-input-text");
const file = document.querySelector(".bot-input-file-button");

function say(text, who) {
  const message = document.createElement("p");
  message.className = `bot-message ${who}`;
  message.textContent = text;
  messages.append(message);
  message.scrollIntoView();
}

async function show(id) {
  const answer = await fetch(`${base}/product-meta/${encodeURIComponent(id)}`);
  if (!answer.ok) return;
  const product = await answer.json();
  const link = document.createElement("a");
  link.className = "bot-product";
  link.href = `${base}/product/${encodeURIComponent(product.id)}`;
  const picture = document.createElement("img");
  const placeholder = `${base}/static/img/placeholder.svg`;
  picture.addEventListener("error", () => (picture.src = placeholder), { once: true });
  const named = product.picture || "";
  picture.src = /^\/(?!\/)/.test(named) ? base + named : /^(https?:)?\/\/|^data:image\//i.test(named) ? named : placeholder;
  picture.alt = "";
  const name = document.createElement("span");
  name.textContent = product.name;
  link.append(picture, name);
  messages.append(link);
}

function read(picture) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(picture);
  });
}

document.getElementById("bot-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = input.value.trim();
  if (!question) return;
  say(question, "user");
  input.value = "";
  try {
    const image = file.files.length > 0 ? await read(file.files[0]) : "";
    const answer = await fetch(`${base}/bot`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ message: encodeURIComponent(question), image }),
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { message } = await answer.json();
    const ids = [...message.matchAll(/\[([^\]]+)\]/g)].map((match) => match[1].trim());
    say(message.replace(/\[[^\]]+\],?/g, "").trim(), "bot");
    for (const id of ids) await show(id);
  } catch (error) {
    say(`The assistant does not answer (${error.message}).`, "bot");
  }
});
