"use strict";

const message = document.querySelector("#message");
const table = document.querySelector("table");
const form = document.querySelector("form");

function say(text, isError) {
  message.textContent = text;
  message.className = isError ? "error" : "";
}

/** Sends a change; the answer to an error is a sentence. */
async function change(path, body) {
  const authorization = `Bearer ${form.elements.token.value}`;
  const answer = await fetch(path, { method: "PUT", headers: { authorization }, body });
  const text = await answer.text();
  say(answer.ok ? "Changed." : text, !answer.ok);
  await show();
}

function row(fault, canBeChanged) {
  const line = document.createElement("tr");
  line.className = fault.on ? "on" : "";
  const state = fault.on ? "on" : fault.enabled ? "waiting" : "off";
  const texts = [fault.name, fault.service ?? "all", fault.requests ?? "all", fault.percentage,
    fault.effects.join(", "), fault.injected, state];
  for (const text of texts) {
    const cell = document.createElement("td");
    cell.className = typeof text === "number" ? "number" : "";
    cell.textContent = text;
    line.append(cell);
  }
  const button = document.createElement("button");
  button.textContent = fault.enabled ? "Switch off" : "Switch on";
  button.setAttribute("aria-label", `${button.textContent}: ${fault.name}`);
  button.disabled = !canBeChanged;
  button.onclick = () =>
    change(`faults/${encodeURIComponent(fault.name)}`, JSON.stringify({ enabled: !fault.enabled }));
  const cell = document.createElement("td");
  cell.append(button);
  line.append(cell);
  return line;
}

async function show() {
  const state = await (await fetch("faults")).json();
  table.tBodies[0].replaceChildren(...state.faults.map((fault) => row(fault, state.can_be_changed)));
  table.hidden = state.faults.length === 0;
  form.hidden = !state.can_be_changed;
  if (message.textContent === "Loading") {
    const none = state.faults.length === 0 ? "There are none. " : "";
    say(none + (state.can_be_changed ? "" : "To change faults here, set ADMIN_TOKEN."));
  }
}

form.onsubmit = (event) => {
  event.preventDefault();
  change("faults", form.elements.description.value);
};

show();
setInterval(show, 2000);
