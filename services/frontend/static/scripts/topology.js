// Replaces the picture whenever the server sends the next one.
const picture = document.getElementById("topology");
const state = document.getElementById("topology-state");
const pause = document.getElementById("topology-pause");
let events = null;

function follow() {
  events = new EventSource(picture.dataset.events);
  events.onopen = () => { state.textContent = ""; };
  events.onmessage = (event) => {
    // What has the focus, or is scrolled to, stays.
    const focused = picture.contains(document.activeElement) ? document.activeElement : null;
    const wide = [...picture.querySelectorAll("[tabindex]")].map((part) => part.scrollLeft);
    picture.innerHTML = event.data;
    picture.querySelectorAll("[tabindex]").forEach((part, index) => { part.scrollLeft = wide[index] ?? 0; });
    if (focused) {
      const same = focused.id
        ? document.getElementById(focused.id)
        : picture.querySelector(`.${focused.classList[0]}`);
      same?.focus({ preventScroll: true });
    }
  };
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) {
      state.textContent = "The picture is no longer live: reload the page in a while.";
    } else {
      state.textContent = "The shop does not answer. Trying again.";
    }
  };
}

pause.addEventListener("click", () => {
  const isLive = events !== null;
  if (isLive) {
    events.close();
    events = null;
  } else {
    follow();
  }
  state.textContent = isLive ? "Paused" : "";
  pause.textContent = isLive ? "Go on" : "Pause";
});

const full = document.getElementById("topology-full");
full.hidden = !document.fullscreenEnabled;
full.addEventListener("click", () => picture.requestFullscreen());
follow();
