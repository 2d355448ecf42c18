/* The page's behaviour in the browser: sends events through the bus widget, keeps what belongs to
   this browser alone (open conversation, look, menu), and never builds HTML from text. */
(() => {
  "use strict";
  if (window.kit) return;

  const narrow = matchMedia("(max-width: 860px)");
  const $ = (id) => document.getElementById(id);
  const body = document.body;
  const state = {
    conversation: "", document: "", query: "", busy: false, asked: "", editing: null, started: false,
  };
  let trigger = null;
  let toastTimer = 0;

  const emit = (name, data = {}) =>
    trigger?.(name, { conversation: state.conversation, query: state.query, ...data });

  // A session that has ended is told by the answer to whatever is asked next: sign in again.
  const plainFetch = window.fetch.bind(window);
  window.fetch = async (...request) => {
    const reply = await plainFetch(...request);
    if (reply.status === 401) location.assign("/sign-in");
    return reply;
  };

  // Look: as the system says unless this browser remembers another wish ------------------------

  const LOOKS = ["system", "light", "dark"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try { return localStorage.getItem("kit-look") || "system"; } catch { return "system"; }
  };
  let look = LOOKS.includes(remembered()) ? remembered() : "system";

  const applyLook = () => {
    const isDark = look === "dark" || (look === "system" && dark.matches);
    if (body.classList.contains("dark") !== isDark) body.classList.toggle("dark", isDark);
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
    const label = look === "system" ? "Look: as the system" : `Look: ${look}`;
    for (const button of document.querySelectorAll('[data-do="theme"]')) {
      button.title = label;
      button.setAttribute("aria-label", label);
    }
  };
  const nextLook = () => {
    look = LOOKS[(LOOKS.indexOf(look) + 1) % LOOKS.length];
    try { localStorage.setItem("kit-look", look); } catch { /* a browser without storage forgets */ }
    applyLook();
    say(look === "system" ? "Look as the system" : `Look ${look}`);
  };
  dark.addEventListener("change", applyLook);
  new MutationObserver(applyLook).observe(body, { attributes: true, attributeFilter: ["class"] });

  // Small helpers --------------------------------------------------------------------------------

  const say = (text) => { const said = $("said"); if (said) said.textContent = text; };
  const isFine = () => matchMedia("(pointer: fine)").matches;
  const focusQuestion = () => { if (isFine() && view() === "chat") $("question")?.focus(); };
  const view = () => body.dataset.view || "chat";

  const show = (name) => {
    body.dataset.view = name;
    drawer(false);
    for (const button of document.querySelectorAll("nav [data-view]")) {
      if (button.dataset.view === name) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    if (name === "documents") { $("too-large").replaceChildren(); emit("open_documents"); }
    if (name !== "documents") emit("start");
    if (name === "search" && isFine()) $("search-words")?.focus();
    if (name === "chat") focusQuestion();
  };

  const drawer = (isOpen) => {
    const was = body.classList.contains("drawer");
    body.classList.toggle("drawer", isOpen);
    const side = $("side");
    if (side) side.inert = narrow.matches && !isOpen;
    if (isOpen) side?.querySelector("button, input")?.focus();
    else if (was && narrow.matches) document.querySelector('#top [data-do="menu"]')?.focus();
  };
  narrow.addEventListener("change", () => drawer(false));

  const setBusy = (busy) => {
    state.busy = busy;
    body.classList.toggle("busy", busy);
    $("talk")?.setAttribute("aria-busy", String(busy));
    sizeQuestion();
  };

  const sizeQuestion = () => {
    const box = $("question");
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 220)}px`;
    document.querySelector("#composer .send").disabled = state.busy || !box.value.trim();
  };

  const setQuestion = (text) => {
    const box = $("question");
    if (!box) return;
    box.value = text;
    sizeQuestion();
  };

  let wasWriting = false;
  const atEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 140;
  const scroller = () => $(narrow.matches ? "view-chat" : "talk");
  const toEnd = () => { const box = scroller(); if (box) box.scrollTop = box.scrollHeight; };
  const toLastTurn = () => { // on a narrow screen the evidence follows the answer; a table is long
    const last = document.querySelector("#talk .turn:last-of-type");
    if (!narrow.matches && !last?.querySelector(".made")) return toEnd();
    const turns = document.querySelectorAll("#talk .turn.mine");
    turns[turns.length - 1]?.scrollIntoView({ block: "start" });
  };

  // A question back: yes or no, a text that begins as `value`, or one of `choices` (options).
  const ask = (title, text, ok, value = null, choices = null) =>
    new Promise((resolve) => {
      const dialog = $("dialog");
      const input = $("dialog-input");
      const choice = $("dialog-choice");
      const button = dialog.querySelector("button.primary");
      const asked = [[input, value !== null], [choice, choices !== null]];
      const field = asked.find(([, isAsked]) => isAsked)?.[0];
      $("dialog-title").textContent = title;
      dialog.querySelector("p").textContent = text;
      button.textContent = ok;
      button.classList.toggle("danger", !field);
      for (const [one, isAsked] of asked) { one.hidden = !isAsked; one.disabled = !isAsked; }
      input.value = value ?? "";
      choice.replaceChildren(...(choices ?? []).map((option) => option.cloneNode(true)));
      dialog.returnValue = "cancel";
      dialog.onclose = () =>
        resolve(dialog.returnValue === "ok" ? (field ? field.value.trim() : true) : null);
      dialog.showModal();
      (field ?? button).focus();
      if (value !== null) input.select();
    });

  const mayLeave = async () =>
    !state.busy ||
    (await ask("Stop this answer?", "It is still being written. Leaving stops it; what is there is kept.", "Leave"));

  // Conversations --------------------------------------------------------------------------------

  const open = async (id, asked = "", name = "") => {
    if (!(await mayLeave())) return;
    cancelEdit();
    closeTask();
    stop();
    setDocument(asked, name); // at once: a question may come before the drawing does
    setConversation(id);
    show("chat");
    emit("open_chat", { document: asked });
    if (id === "") setQuestion("");
    focusQuestion();
  };

  const setDocument = (id, name) => {
    state.document = id;
    body.classList.toggle("asking-one", id !== "");
    const chip = document.querySelector("#composer .asking");
    if (!chip) return;
    chip.hidden = id === "";
    chip.querySelector("bdi").textContent = name || "a document that is not here any more";
    chip.title = name;
    $("question").placeholder = id === "" ? "Ask your documents" : "Ask this document";
  };

  const setConversation = (id) => {
    state.conversation = id;
    let hash = state.document ? `#document=${encodeURIComponent(state.document)}` : "";
    if (id) hash = `#chat=${encodeURIComponent(id)}`;
    if ((location.hash || "") !== hash) {
      history.replaceState(null, "", hash || location.pathname + location.search);
    }
    for (const button of document.querySelectorAll("#conversations button.chat")) {
      const isCurrent = id !== "" && button.dataset.conversation === id;
      for (const node of [button, button.parentElement]) {
        if (isCurrent) node.setAttribute("aria-current", "true");
        else node.removeAttribute("aria-current");
      }
    }
  };

  const stop = () => {
    if (state.busy) emit("stop");
    setBusy(false);
  };

  const submit = () => {
    const box = $("question");
    const question = box.value.trim();
    if (!question || state.busy) return;
    state.asked = question;
    setBusy(true);
    const collection = state.document ? "" : $("scope-choice")?.value || "";
    if (state.editing) emit("edit", { question, message: state.editing, collection });
    else emit("ask", { question, collection, document: state.document });
    cancelEdit();
    setQuestion("");
    box.focus();
  };

  // Modes beside asking: a form in place of the question ---------------------------------------

  const closeTask = () => {
    body.classList.remove("tasking");
    $("task")?.querySelector("#task-form")?.setAttribute("hidden", "");
    const mode = $("mode");
    if (mode) mode.value = "ask";
  };
  const showTask = (form) => {
    form.hidden = false;
    body.classList.add("tasking");
    if (isFine()) form.querySelector("textarea, select")?.focus();
  };
  const openTask = (mode) => {
    cancelEdit();
    const drawn = $("task")?.querySelector(`#task-form[data-mode="${mode}"]`);
    if (drawn) showTask(drawn); // what is drawn again just the same is not announced
    emit("open_task", { mode, document: state.document });
  };
  const submitTask = (form) => {
    if (state.busy) return;
    const chosen = [...form.querySelectorAll('[name="chosen"]:checked')].map((box) => box.value);
    const selected = [...form.querySelectorAll('[name="document"]')].map((choice) => choice.value);
    const fields = form.querySelector('[name="fields"]');
    if (fields && !fields.value.trim()) { fields.focus(); return; }
    if (new Set(selected).size < selected.length) {
      say("Choose two different documents");
      form.querySelector('[name="document"]').focus();
      return;
    }
    setBusy(true);
    state.asked = "";
    emit("do_task", {
      mode: form.dataset.mode,
      documents: [...selected, ...chosen],
      fields: fields?.value || "",
      collection: form.querySelector('[name="collection"]')?.value || "",
    });
    closeTask();
  };

  const startEdit = (button) => {
    state.editing = button.dataset.message;
    document.querySelector("#composer .editing").hidden = false;
    setQuestion(button.closest(".turn").querySelector(".bubble").textContent);
    $("question").focus();
  };
  const cancelEdit = () => {
    if (state.editing) setQuestion("");
    state.editing = null;
    const note = document.querySelector("#composer .editing");
    if (note) note.hidden = true;
  };

  const copy = async (turn) => {
    const parts = [...turn.querySelectorAll(".copyable")].map((part) => {
      const clone = part.cloneNode(true);
      for (const badge of clone.querySelectorAll(".badge")) {
        if (badge.matches(".supported")) badge.remove();
        else badge.textContent = `(${badge.textContent.toLowerCase()} supported)`;
      }
      for (const cite of clone.querySelectorAll(".cite")) cite.textContent = `[${cite.textContent}]`;
      for (const cell of clone.querySelectorAll("td, th")) cell.append("\t");
      for (const block of clone.querySelectorAll("p, li, br, blockquote, figcaption, tr")) block.append("\n");
      return clone.textContent.replace(/\n{3,}/g, "\n\n").trim();
    });
    const text = parts.filter(Boolean).join("\n\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch { // over plain HTTP on a network there is no clipboard interface
      const box = document.createElement("textarea");
      box.value = text;
      body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
  };

  // A server that goes away takes its stream along, and Gradio's session with it. Once it answers
  // again the page is loaded anew: the conversation is in our database, the open question here.
  let isLost = false;
  setInterval(async () => {
    if (!state.busy && !isLost) return;
    try {
      await fetch("health", { cache: "no-store" });
      if (!isLost) return;
      history.replaceState({ draft: $("question").value }, "");
      location.reload();
    } catch {
      isLost = true;
      say("The connection is lost, trying again");
    }
  }, 2000);

  // Buttons ----------------------------------------------------------------------------------------

  const actions = {
    theme: nextLook,
    menu: () => drawer(!body.classList.contains("drawer")),
    "new-chat": () => open(""),
    "open-chat": (button) => open(button.dataset.conversation),
    suggest: (button) => { setQuestion(button.dataset.question); submit(); },
    stop: () => { stop(); emit("stopped"); say("Stopped"); focusQuestion(); },
    regenerate: () => { if (!state.busy) { setBusy(true); state.asked = ""; emit("regenerate"); } },
    "edit-question": (button) => { if (!state.busy) startEdit(button); },
    "cancel-edit": () => { cancelEdit(); focusQuestion(); },
    "close-task": () => { closeTask(); focusQuestion(); },
    "cancel-dialog": () => $("dialog").close("cancel"),
    copy: async (button) => {
      await copy(button.closest(".turn"));
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
      say("Copied");
    },
    feedback: (button) =>
      emit("feedback", { message: button.dataset.message, value: button.dataset.value }),
    evidence: (button) => {
      body.classList.remove("no-evidence");
      emit("show_evidence", { message: button.dataset.message });
    },
    "hide-evidence": () => body.classList.add("no-evidence"),
    more: (button) => {
      const isOpen = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(isOpen));
      button.textContent = isOpen ? "Less" : "More";
      button.closest(".card").classList.toggle("whole", isOpen);
    },
    "rename-chat": async (button) => {
      const { conversation: target, title } = button.dataset;
      const renamed = await ask("Rename this chat", "", "Rename", title);
      if (renamed) emit("rename_chat", { target, title: renamed });
    },
    "delete-chat": async (button) => {
      const { conversation: target, title } = button.dataset;
      const isSure = await ask("Delete this chat?", `“${title}” and its answers are removed for good.`, "Delete");
      if (!isSure) return;
      if (target === state.conversation) { stop(); cancelEdit(); }
      emit("delete_chat", { target });
    },
    remove: async (button) => {
      const { document: target, title } = button.dataset;
      const text = `“${title}” is removed from the library and from all future answers.`;
      if (await ask("Remove this document?", text, "Remove")) emit("remove_document", { document: target });
    },
    move: async (button) => {
      const { document: target, title, collection } = button.dataset;
      const others = [...$("places").options].filter((one) => one.dataset.collection !== collection);
      const text = `“${title}” will be read by those who read the collection you choose, and by nobody else.`;
      const place = await ask("Move this document", text, "Move", null, others);
      if (place) emit("move_document", { document: target, place });
    },
    unshare: async (button) => {
      const { collection, to, name } = button.dataset;
      const text = `They read “${name}” no more, from their next request on.`;
      if (await ask("Take this back?", text, "Take back")) emit("unshare_collection", { collection, to });
    },
    retry: (button) => emit("retry_document", { document: button.dataset.document }),
    "stop-document": (button) => emit("stop_document", { document: button.dataset.document }),
    "retry-failed": () => { emit("retry_failed"); say("All failed documents are tried again"); },
    "pause-reading": () => { emit("pause_reading"); say("Reading is paused"); },
    "resume-reading": () => { emit("resume_reading"); say("Reading goes on"); },
    "sync-folder": (button) => emit("sync_folder", { folder: button.dataset.folder }),
    "show-pages": (button) => {
      state.pagesOf = button.dataset.document;
      emit("show_pages", { document: button.dataset.document });
    },
    "close-pages": () => {
      $("pages").querySelector("section.pages")?.remove();
      const opener = document.querySelector(`#table [data-do="show-pages"][data-document="${CSS.escape(state.pagesOf)}"]`);
      opener?.focus();
    },
    "ask-document": (button) => open("", button.dataset.document, button.dataset.title),
    "drop-document": () => {
      if (state.busy) return;
      setDocument("", "");
      emit("drop_document");
      say("All documents are asked");
      $("question").focus();
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-do], [data-view]");
    if (!button || !button.closest("#app")) return;
    if (button.dataset.view) show(button.dataset.view);
    else actions[button.dataset.do]?.(button);
  });
  document.addEventListener("click", (event) => {
    if (body.classList.contains("drawer") && !event.target.closest("#side, #top")) drawer(false);
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id === "composer") { event.preventDefault(); submit(); }
    if (event.target.id === "task-form") { event.preventDefault(); submitTask(event.target); }
    if (event.target.id === "search") {
      event.preventDefault();
      emit("find_passages", {
        words: $("search-words").value,
        collection: $("search-scope-choice")?.value || "",
      });
    }
    if (event.target.matches("form.share")) {
      event.preventDefault();
      const { to, right } = Object.fromEntries(new FormData(event.target));
      if (to) emit("share_collection", { collection: event.target.dataset.collection, to, right });
    }
    if (event.target.matches("form.new-collection")) {
      event.preventDefault();
      emit("create_collection", { name: new FormData(event.target).get("name") });
      event.target.reset();
    }
    if (event.target.closest?.("#dialog")) { event.preventDefault(); $("dialog").close("ok"); }
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id === "question" && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
    if (event.key !== "Escape" || $("dialog")?.open) return;
    if (event.target.closest?.("section.pages")) { actions["close-pages"](); return; }
    if (body.classList.contains("drawer")) drawer(false);
    else if (state.editing) actions["cancel-edit"]();
    else if (body.classList.contains("tasking")) actions["close-task"]();
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "mode" && event.target.value !== "ask") openTask(event.target.value);
  });
  document.addEventListener("click", (event) => { // a menu closes when something else is looked at
    for (const menu of document.querySelectorAll("details.save[open]")) {
      if (!menu.contains(event.target) || event.target.closest("a")) menu.open = false;
    }
  });

  let findTimer = 0;
  document.addEventListener("input", (event) => {
    if (event.target.id === "question") sizeQuestion();
    if (event.target.id === "filter-documents") filterDocuments();
    if (event.target.id === "find-chats") {
      state.query = event.target.value;
      clearTimeout(findTimer);
      findTimer = setTimeout(() => emit("find_chats"), 180);
    }
  });

  document.addEventListener("error", (event) => { // a page image that cannot be drawn
    if (event.target.matches?.(".thumbnail img")) event.target.closest(".thumbnail").hidden = true;
  }, true);

  // A citation under the pointer or the focus shows its card.
  const light = (event) => {
    for (const card of document.querySelectorAll(".card.lit")) card.classList.remove("lit");
    const cite = event.target.closest?.(".turn .cite");
    if (!cite) return;
    const panel = document.querySelector("#evidence .evidence");
    const turn = cite.closest(".turn");
    if (!panel || (turn.dataset.message ?? "") !== (panel.dataset.message ?? "")) return;
    const card = panel.querySelector(`.card[data-n="${CSS.escape(cite.dataset.n)}"]`);
    card?.classList.add("lit");
    if (card && !narrow.matches) card.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  document.addEventListener("mouseover", light);
  document.addEventListener("focusin", light);

  const filterDocuments = () => {
    const words = ($("filter-documents")?.value || "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    const rows = document.querySelectorAll("#table tbody tr");
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.name.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    const none = document.querySelector("#table .no-match");
    if (none) none.hidden = shown > 0 || rows.length === 0;
    const filter = document.querySelector("#filter-space .filter");
    if (filter) filter.hidden = rows.length === 0;
  };

  // Files that are too large ---------------------------------------------------------------------

  // Gradio drops a whole choice of files for one of them. Here the others go on, and it is named.
  const sendable = (files) => {
    const list = $("too-large");
    const kept = new DataTransfer();
    list.replaceChildren();
    for (const file of files) {
      if (file.size <= Number(list.dataset.maxBytes)) { kept.items.add(file); continue; }
      const name = document.createElement("bdi");
      name.textContent = file.name;
      const item = document.createElement("li");
      item.className = "bad";
      item.append(document.createElement("b"), ` ${list.dataset.reason}`);
      item.firstChild.append(name);
      list.append(item);
    }
    return kept;
  };
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!input.matches?.("#drop input[type=file]") || !input.files.length) return;
    const kept = sendable(input.files);
    if (kept.files.length < input.files.length) input.files = kept.files;
  }, true);
  let rest = null; // what was dropped cannot be changed, so what may be sent is dropped in its stead
  document.addEventListener("drop", (event) => {
    if (event === rest || !event.target.closest?.("#drop") || !event.dataTransfer?.files.length) return;
    const kept = sendable(event.dataTransfer.files);
    if (kept.files.length === event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    rest = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: kept });
    event.target.dispatchEvent(rest);
  }, true);

  // Files over the page: the place for them shows that it takes them. Dropped beside it on the
  // documents page they are taken too; elsewhere the browser would leave the page for the file.
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let overTimer = 0;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    if (!event.target.closest?.("#drop")) event.preventDefault();
    if (view() !== "documents") return;
    $("drop").classList.add("over");
    clearTimeout(overTimer);
    overTimer = setTimeout(() => $("drop").classList.remove("over"), 250);
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event) || event.target.closest?.("#drop")) return;
    event.preventDefault();
    if (view() !== "documents") {
      show("documents");
      say("Drop files here to add them as documents");
      return;
    }
    const dropped = { bubbles: true, cancelable: true, dataTransfer: event.dataTransfer };
    document.querySelector("#drop button")?.dispatchEvent(new DragEvent("drop", dropped));
  });

  // Drawings -----------------------------------------------------------------------------------------

  const opened = new Set(); // folded sections that the reader opened; a new drawing folds them again
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.keep;
    if (!key || !event.target.closest("#live, #reading")) return;
    if (event.target.open) opened.add(key); else if (event.isTrusted && !redrawing) opened.delete(key);
  }, true);
  let redrawing = false;

  // A new drawing replaces the button that has the focus; the one that does the same gets it.
  const held = {};
  document.addEventListener("focusin", (event) => {
    for (const place of ["table", "reading"]) {
      const button = event.target.closest?.(`#${place} [data-do]`);
      held[place] = button && { do: button.dataset.do, document: button.dataset.document || "" };
    }
  });
  const refocus = (place) => {
    const last = held[place];
    if (!last || document.activeElement !== body) return;
    const same = [...document.querySelectorAll(`#${place} [data-do]`)].find(
      (button) => button.dataset.do === last.do && (button.dataset.document || "") === last.document,
    );
    same?.focus({ preventScroll: true });
  };

  const drawings = {
    thread: (element) => {
      const thread = element.querySelector(".thread");
      if (thread) {
        setDocument(thread.dataset.document || "", thread.dataset.documentName || "");
        setConversation(thread.dataset.conversation);
      }
      body.classList.toggle("welcoming", !!element.querySelector(".welcome"));
      toLastTurn();
    },
    live: (element) => {
      const isWriting = !!element.querySelector(".turn");
      const box = scroller();
      const follow = box && (atEnd(box) || (isWriting && !wasWriting)); // a long table may lie above
      wasWriting = isWriting;
      redrawing = true;
      for (const part of element.querySelectorAll("[data-keep]")) part.open = opened.has(part.dataset.keep);
      setTimeout(() => { redrawing = false; }, 0);
      if (!isWriting && state.busy) { say("The answer is ready"); opened.clear(); }
      setBusy(isWriting);
      if (!isWriting || narrow.matches) toLastTurn();
      else if (follow) toEnd();
    },
    evidence: (element) => {
      body.classList.toggle("has-evidence", !!element.querySelector(".evidence"));
      for (const card of element.querySelectorAll(".card")) {
        const text = card.querySelector("blockquote");
        const isWhole = text.clientHeight > 0 && text.scrollHeight <= text.clientHeight + 2;
        card.querySelector('[data-do="more"]').hidden = isWhole;
      }
    },
    task: (element) => {
      const form = element.querySelector("#task-form");
      if (form) showTask(form);
    },
    conversations: () => setConversation(state.conversation),
    person: applyLook,
    table: () => { filterDocuments(); refocus("table"); },
    reading: (element) => {
      for (const part of element.querySelectorAll("[data-keep]")) part.open = opened.has(part.dataset.keep);
      refocus("reading");
    },
    pages: (element) => element.querySelector("section.pages")?.focus(),
    toast: (element) => {
      if (!element.querySelector(".toast")) return;
      element.classList.add("shown");
      clearTimeout(toastTimer);
      toastTimer = setTimeout(() => element.classList.remove("shown"), 7000);
      if (state.busy && !document.querySelector("#live .turn")) { // the question was not taken
        setBusy(false);
        if (!$("question").value) setQuestion(state.asked);
      }
    },
  };

  window.kit = {
    drawn: (name, element) => drawings[name]?.(element),
    connect: (send) => {
      trigger = send;
      if (state.started) return;
      state.started = true;
      const match = /^#(chat|document)=([0-9A-Za-z_-]{1,128})$/.exec(location.hash);
      state.conversation = match?.[1] === "chat" ? match[2] : "";
      const asked = match?.[1] === "document" ? match[2] : "";
      body.dataset.view = "chat";
      setTimeout(() => {
        applyLook();
        drawer(false);
        setQuestion(history.state?.draft || "");
        history.replaceState(null, "");
        emit("start");
        setDocument(asked, "…"); // its name comes with the drawing
        emit("open_chat", { document: asked });
        focusQuestion();
      }, 0);
    },
  };
})();
