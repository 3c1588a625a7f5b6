// Keys, and pages that are exchanged without being loaded anew. Everything works without this file, too: links and forms
// are plain ones. Nothing here makes HTML from text: a whole page that the server has escaped takes the old one's place.
"use strict";

(() => {
  const PULSE_MS = 15000;
  let begun = ""; // the verdict that was begun by its key and waits for a reason
  let loading = null;

  const main = () => document.getElementById("main");
  const all = (what) => [...main().querySelectorAll(what)];
  const decide = () => main().querySelector("form.decide");

  // Exchanging pages

  async function go(address, options, keep) {
    loading?.abort();
    loading = new AbortController();
    let answer;
    try {
      answer = await fetch(address, { ...options, signal: loading.signal, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") return;
      say("The program does not answer. Nothing is known to be stored; try again.");
      return;
    }
    const type = answer.headers.get("content-type") ?? "";
    if (!type.startsWith("text/html")) {
      say((await answer.text()).slice(0, 300));
      return;
    }
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (!keep) history.pushState(null, "", answer.redirected || !options?.method ? answer.url : address);
    scrollTo(0, 0);
    ready();
  }

  function show(page) {
    const fresh = page.getElementById("main");
    if (!fresh) return;
    document.title = page.title;
    main().replaceWith(document.adoptNode(fresh));
    const nav = page.querySelector(".top nav");
    if (nav) document.querySelector(".top nav").replaceWith(document.adoptNode(nav));
    document.querySelector(".pulse").hidden = true;
  }

  function say(text) {
    const box = document.createElement("div");
    box.className = "notice trouble";
    box.setAttribute("role", "alert");
    box.textContent = text;
    main().prepend(box);
  }

  function ready() {
    begun = "";
    for (const one of document.querySelectorAll(".needs-script")) one.hidden = false;
    const invalid = main().querySelector("[aria-invalid]");
    if (decide()?.dataset.begun) begin(decide().dataset.begun, "reason");
    if (invalid) invalid.focus();
    else if (document.activeElement === document.body || !document.activeElement) main().focus({ preventScroll: true });
  }

  function plain(event) {
    return event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  }

  document.addEventListener("click", (event) => {
    const shows = event.target.closest("[data-shows]");
    if (shows) return document.getElementById(shows.dataset.shows).showModal();
    const link = event.target.closest("a[href]");
    if (!link || !plain(event) || link.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    if (link.closest(".pulse")) go(location.href, {}, true);
    else go(link.href);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const method = form.getAttribute("method"); // a field named "action" would stand in the way of form.action
    const action = new URL(form.getAttribute("action"), location.href).href;
    if (method === "dialog") return;
    event.preventDefault();
    const data = new URLSearchParams(new FormData(form, event.submitter));
    if (method === "get") {
      for (const [name, value] of [...data]) if (value === "") data.delete(name, value);
      const query = data.toString();
      go(query ? `${action}?${query}` : action);
      return;
    }
    if (form.dataset.sent) return; // a second press while the first is on its way
    form.dataset.sent = "yes";
    go(action, { method: "POST", body: data }).finally(() => delete form.dataset.sent);
  });

  addEventListener("popstate", () => go(location.href, {}, true));

  // Keys

  function pressed(key) {
    const one = all(`[data-key="${key}"]`)[0];
    if (one) one.click();
    return Boolean(one);
  }

  function begin(kind, field) {
    const form = decide();
    if (!form) return false;
    begun = kind;
    for (const button of form.querySelectorAll(".verdicts button")) {
      button.classList.toggle("begun", button.value === kind);
    }
    const more = form.querySelector(`[data-for="${kind}"]`);
    if (more) more.open = true;
    const armed = form.querySelector(".armed");
    armed.hidden = false;
    armed.textContent = field === "reason" ? "Say why, then Enter stores it." : "Fill this in, then Enter stores it.";
    const target = form.elements[field];
    (target instanceof RadioNodeList ? target[0] : target).focus();
    return true;
  }

  // Enter goes on to what is still missing, and stores once nothing is.
  function store() {
    const { reason, until } = decide().elements;
    const missing = begun === "accept" && !until.value ? until : reason.value.trim() ? null : reason;
    if (missing && missing !== document.activeElement) missing.focus();
    else decide().requestSubmit(decide().querySelector(`.verdicts button[value="${begun}"]`));
  }

  function walk(step) {
    const links = all(".list .open");
    if (!links.length) return pressed(step > 0 ? "j" : "k");
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
    links[next].focus();
    return true;
  }

  function nextScope() {
    const scopes = [...(decide()?.querySelectorAll("[name=scope]") ?? [])];
    if (!scopes.length) return false;
    scopes[(scopes.findIndex((one) => one.checked) + 1) % scopes.length].checked = true;
    return true;
  }

  function choose() {
    const box = document.activeElement?.closest?.(".list tr")?.querySelector("[name=key]");
    if (box) box.checked = !box.checked;
    return Boolean(box);
  }

  function level(number) {
    const levels = [...(decide()?.querySelectorAll("[name=to-level]") ?? [])];
    if (begun !== "correct" || !levels[number]) return false;
    levels[number].checked = true;
    return begin("correct", "reason");
  }

  const KEYS = {
    j: () => walk(1), n: () => walk(1), ArrowDown: () => walk(1), k: () => walk(-1), p: () => walk(-1),
    ArrowUp: () => walk(-1), a: () => pressed("a"), f: () => begin("false_positive", "reason"),
    x: () => begin("accept", "until"), c: () => begin("correct", "to-level"), s: nextScope, u: () => pressed("u"),
    " ": choose, q: () => Boolean(go("/")) || true, h: () => Boolean(go("/history")) || true,
    "/": () => { const one = all('[data-key="/"]')[0]; one?.focus(); return Boolean(one); },
    "?": () => { document.getElementById("keys").showModal(); return true; },
    Escape: () => pressed("Escape"),
    1: () => level(1), 2: () => level(2), 3: () => level(3), 4: () => level(4), 5: () => level(5),
  };

  function typing(target) {
    return target.matches?.("textarea, select, input:not([type=checkbox], [type=radio])");
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.metaKey || event.ctrlKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (typing(target)) {
      if (event.key === "Escape") {
        target.blur();
        main().focus({ preventScroll: true });
      } else if (event.key === "Enter" && target.form === decide() && decide() && !target.matches("textarea")) {
        event.preventDefault();
        if (begun) store();
        else decide().querySelector(".verdicts button").focus();
      }
      return;
    }
    if (target.matches?.("input[type=radio], input[type=checkbox], summary, button, pre")) {
      if ([" ", "Enter", "ArrowDown", "ArrowUp"].includes(event.key)) return; // theirs
    }
    if (!event.repeat || "jknp".includes(event.key) || event.key.startsWith("Arrow")) {
      const scrolls = event.key.startsWith("Arrow") && !all(".list .open").length;
      if (!scrolls && KEYS[event.key]?.()) event.preventDefault();
    }
  });

  // Whether others have decided since this page was drawn

  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/pulse", { credentials: "same-origin" });
      if (!answer.ok) return;
      const { seq } = await answer.json();
      if (seq > Number(main().dataset.seq)) document.querySelector(".pulse").hidden = false;
    } catch { /* it is said when somebody wants something */ }
  }, PULSE_MS);

  ready();
})();
