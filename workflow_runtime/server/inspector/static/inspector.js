// What the pages need beside htmx: colours, times in the reader's zone, the chosen step, the state of the connection.
(() => {
  "use strict";
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);

  // -- colours: as the system, or as chosen; set before the first paint ---------------------------------------------
  const themes = ["auto", "light", "dark"];
  const names = { auto: "as the system", light: "light", dark: "dark" };
  let theme = "auto";
  try {
    theme = localStorage.getItem("wfr-theme") || "auto";
  } catch {}
  const paint = () => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = find("theme");
    if (!button) return;
    button.hidden = false;
    button.textContent = `Theme: ${theme}`;
    button.setAttribute("aria-label", `Colours: ${names[theme]}`);
  };
  if (!themes.includes(theme)) theme = "auto";
  paint();

  // -- times --------------------------------------------------------------------------------------------------------
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const words = (then) => {
    const seconds = (then - Date.now()) / 1000;
    const away = Math.abs(seconds);
    if (away < 5) return "now";
    if (away < 60) return ago.format(Math.round(seconds), "second");
    if (away < 3600) return ago.format(Math.round(seconds / 60), "minute");
    if (away < 86400) return ago.format(Math.round(seconds / 3600), "hour");
    return then.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  };
  const times = () => {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const then = new Date(element.dateTime);
      const said = "clock" in element.dataset ? then.toLocaleTimeString([], { hour12: false }) : words(then);
      if (element.textContent !== said) element.textContent = said;
      element.title = then.toLocaleString();
    }
  };
  setInterval(times, 5000);

  // -- the chosen step ----------------------------------------------------------------------------------------------
  const current = () => {
    const step = find("detail")?.dataset.step;
    for (const link of document.querySelectorAll("a[data-step]")) {
      if (step && link.dataset.step === step) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const choose = async (step, isAsked) => {
    const detail = find("detail");
    detail.dataset.step = step;
    const query = step ? `?step=${encodeURIComponent(step)}` : "";
    if (isAsked) history.replaceState(null, "", location.pathname + query);
    current();
    await htmx.ajax("GET", detail.dataset.base + query, { target: "#detail", swap: "innerMorph", source: detail });
    if (!isAsked) return;
    detail.focus({ preventScroll: true });
    if (detail.getBoundingClientRect().top > innerHeight - 160) detail.scrollIntoView({ block: "start" });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-step]");
    if (!link || !find("detail") || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    choose(link.dataset.step, true);
  });
  document.addEventListener(
    "toggle",
    ({ target }) => {
      const seq = target.dataset?.event;
      if (!seq || !target.open || target.children.length > 1) return;
      const body = target.appendChild(document.createElement("div"));
      htmx.ajax("GET", `${target.closest("[data-base]").dataset.base}/${seq}`, { target: body, source: target });
    },
    true,
  );
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement;
    const isTyping = at && at.matches("input, textarea, select");
    if (event.key === "/" && !isTyping && find("log-search")) {
      event.preventDefault();
      find("log-search").focus();
    } else if (event.key === "Escape" && !isTyping && find("detail")?.dataset.step) {
      choose("", true);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && at?.matches(".gantt a")) {
      const links = [...document.querySelectorAll(".gantt a")];
      const next = links[links.indexOf(at) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) next.focus();
      event.preventDefault();
    }
  });

  // -- a run that goes on -------------------------------------------------------------------------------------------
  document.addEventListener("steps", (event) => {
    const step = find("detail").dataset.step;
    if (step && JSON.parse(event.detail.data).some((path) => path === step || path.startsWith(`${step}/`)))
      choose(step, false);
  });
  document.addEventListener("end", () => {
    choose(find("detail").dataset.step, false);
    htmx.trigger("#live", "log");
  });
  const scroll = () => {
    for (const text of document.querySelectorAll(".stream:not([data-away])")) text.scrollTop = text.scrollHeight;
  };
  document.addEventListener(
    "scroll",
    ({ target }) => {
      if (target.classList?.contains("stream"))
        target.toggleAttribute("data-away", target.scrollHeight - target.scrollTop - target.clientHeight > 40);
    },
    true,
  );

  // -- the connection -----------------------------------------------------------------------------------------------
  const say = (text) => {
    const place = find("connection");
    if (place && place.textContent !== text) place.textContent = text;
  };
  const lost = "Connection lost. Trying again…";
  let isLost = false;
  const away = () => {
    isLost = true;
    say(lost);
  };
  const back = () => {
    if (isLost) say("");
    isLost = false;
  };
  document.addEventListener("htmx:sse:before:connection", ({ detail }) => {
    if (detail.connection.attempt > 0 && !document.hidden) away();
  });
  document.addEventListener("htmx:sse:error", away);
  document.addEventListener("htmx:sse:after:connection", ({ detail }) => {
    if (detail.connection.status >= 400) return;
    if (isLost) choose(find("detail").dataset.step, false);
    back();
  });
  document.addEventListener("htmx:error", ({ target }) => {
    away();
    if (target.id === "live") setTimeout(() => htmx.trigger("#live", "again"), 2000);
  });
  document.addEventListener("htmx:after:request", ({ detail, target }) => {
    const response = detail.ctx?.response;
    if (!response) return;
    isWrong = response.status === 422;
    const said = response.headers.get("X-Message");
    if (said) {
      const text = decodeURIComponent(said);
      isLost = false;
      say(text);
      setTimeout(() => find("connection").textContent === text && say(""), 10000);
    } else if (response.status < 400 && target.id !== "live") back();
  });

  let isWrong = false; // a form came back with what does not fit: go there
  const settle = () => {
    times();
    current();
    scroll();
    const wrong = isWrong && document.querySelector("form [aria-invalid], form [role=alert] ~ .field :is(input, textarea)");
    if (wrong) {
      wrong.focus();
      isWrong = false;
    }
  };
  document.addEventListener("htmx:after:swap", settle);
  document.addEventListener("DOMContentLoaded", () => {
    paint();
    settle();
    for (const graph of document.querySelectorAll(".graph")) graph.scrollLeft = (graph.scrollWidth - graph.clientWidth) / 2;
    find("theme").addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try {
        localStorage.setItem("wfr-theme", theme);
      } catch {}
      paint();
    });
  });
})();
