// What the page draws by itself: keyed lists, cards, bars and curves.
//
// Each view is a function of (element, props, server, watch, trigger), called from a gr.HTML's js_on_load. Texts of
// records reach the document only as text nodes. They never pass through Gradio's html_template: it escapes HTML, yet it
// evaluates its result as a JavaScript template, so a record that holds a dollar sign and braces would be run as code.

window.cdcda = (() => {
  "use strict";

  // ---- Building blocks -------------------------------------------------------------------------------------------

  const SVG = new Set(["svg", "path", "line", "circle", "text", "g", "title"]);

  /** An element; strings among the children become text nodes, null and false are left out. */
  function h(tag, attributes = {}, ...children) {
    const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  /** Put `text` into the node, only when it differs, so that selections and screen readers are left alone. */
  function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  /** Make the container's children those of `items`, by key: kept nodes are updated in place, never re-made. */
  function keyed(container, items, make, update, key = (item) => item.id) {
    const present = new Map([...container.children].map((node) => [node.dataset.key, node]));
    let place = container.firstElementChild;
    for (const item of items) {
      const name = String(key(item));
      let node = present.get(name);
      if (!node) {
        node = make(item);
        node.dataset.key = name;
      }
      present.delete(name);
      if (node === place) place = place.nextElementSibling;
      else container.insertBefore(node, place);
      update(node, item);
    }
    present.forEach((node) => node.remove());
  }

  /** Draw now and whenever the server sends a new value. Calls run side by side, so one may be told what another has made old:
   *  of values with a stamp an older one than the last is left. What it gives back tells of a newer state that was told otherwise. */
  function bind(props, watch, draw) {
    let drawn = {}, newest = 0;
    const redraw = () => {
      const value = props.value || {};
      if (value.stamp && value.stamp < newest) {
        props.value = drawn;
        return;
      }
      drawn = value;
      newest = value.stamp || newest;
      draw(value);
    };
    redraw();
    watch("value", redraw);
    return (stamp) => { newest = Math.max(newest, stamp || 0); };
  }

  /** A frame that is made once, filled by `draw`. Gradio re-makes nothing below an element whose template is constant. */
  function frame(element, className, ...children) {
    const node = h("div", { class: className }, ...children);
    element.replaceChildren(node);
    return node;
  }

  /** A server function's answer; one that carries `error` shows it as a passing note. */
  async function ask(call) {
    let answer;
    try {
      answer = await call;
    } catch {
      answer = { error: "The app does not answer; check that it still runs, then reload the page." };
    }
    if (answer && answer.error) note(answer.error);
    return answer || {};
  }

  /** A passing note, perhaps with one thing to do about it. */
  function note(text, offer = null) {
    const node = h("div", { class: "note-passing", role: "alert" }, text);
    if (offer) node.append(h("button", { class: "small-button", type: "button", onclick: () => { node.remove(); offer.act(); } }, offer.text));
    document.body.append(node);
    setTimeout(() => node.remove(), offer ? 30000 : 8000);
  }

  const NEAR = 48;

  /** A text in pieces of [text, kind of what was found there]. A kind is heard before what it is of; of a long beginning without
   *  a find the part that is not near to one can be hidden, so that the find shows in a line or two. */
  function found(pieces) {
    const [first, kind] = pieces[0], from = first.lastIndexOf(" ", first.length - NEAR) + 1;
    const far = !kind && from > NEAR ? first.slice(0, from) : "";
    return h("span", {}, far ? h("span", { class: "far" }, far) : null, pieces.map(([text, kind], place) =>
      kind ? h("mark", { class: "found", title: kind }, h("span", { class: "only-heard" }, `${kind}: `), text) : place ? text : text.slice(far.length)));
  }

  /** Show what was found in a record and ask how to share it: "redacted", "confirmed", or "" for not at all. */
  function consent(id, { things, input, output }) {
    return new Promise((resolve) => {
      const choice = (text, value, className, first = false) => h("button", { class: className, type: "submit", value, autofocus: first }, text);
      const dialog = h("dialog", { class: "consent", "aria-label": `What was found in record ${id}` }, h("form", { method: "dialog" },
        h("p", { class: "headline" }, `Record ${id} holds what looks personal`),
        h("dl", {}, things.flatMap(([kind, text]) => [h("dt", {}, kind), h("dd", { class: "mono" }, text)])),
        h("div", { class: "found-in", tabindex: "0", role: "region", "aria-label": `Record ${id}, with what was found marked` },
          [output, input].filter((pieces) => pieces.length).map((pieces) => h("p", {}, found(pieces)))),
        h("p", { class: "muted" }, "With placeholders, these are replaced before the record leaves; what they stand for stays here."),
        h("div", { class: "form-actions" }, choice("Share with placeholders", "redacted", "small-button", true),
          choice("Share as it is", "confirmed", "small-button"), choice("Keep at home", "", "quiet-button"))));
      dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue); });
      document.body.append(dialog);
      dialog.showModal();
      const place = dialog.querySelector(".found-in"), first = place.querySelector("mark");
      if (first) place.scrollTop = first.offsetTop - NEAR;
    });
  }

  function empty(value) {
    if (!value || !value.title) return null;
    return h("div", { class: "empty" }, h("h3", {}, value.title), h("p", {}, value.text), value.go ? goButton(value.go) : null,
      value.steps ? h("ol", { class: "way-steps" }, value.steps.map(([title, text]) => h("li", {}, h("strong", {}, title), h("p", {}, text)))) : null);
  }

  /** Open another tab of the page. */
  function goButton([tab, text]) {
    return h("button", { class: "small-button go-button", type: "button",
      onclick: () => document.querySelector(`button[data-tab-id="${tab}"]`)?.click() }, text);
  }

  /** Replace the content only when what it shows changed. */
  function refill(node, value, build) {
    const shown = JSON.stringify(value ?? null);
    if (node.dataset.shown === shown) return;
    node.dataset.shown = shown;
    const content = value ? build(value) : null;
    node.replaceChildren(...(content ? [content] : []));
  }

  /** Gradio's passing notes put a button into a header that counts as one itself; what is inside cannot be said then. */
  function plainNotes() {
    for (const header of document.querySelectorAll(".toast-header[role=button]")) {
      header.removeAttribute("role");
      header.removeAttribute("tabindex");
    }
  }
  new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length)) plainNotes();
  }).observe(document, { childList: true, subtree: true });

  const HEARD = 600;

  /** A button says at once that it was pressed; what its action does is drawn when the app answers. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".gradio-container button:is(.lg, .sm)");
    if (!button || button.disabled) return;
    button.setAttribute("aria-busy", "true");
    setTimeout(() => button.removeAttribute("aria-busy"), HEARD);
  }, true);

  const OPEN_TAB = "cdcda-tab";

  /** Which tab is open is kept for this window: after a reload, also one because the app was started again, it opens again. */
  document.addEventListener("click", (event) => {
    const tab = event.target.closest?.("button[data-tab-id]");
    // The tabs inside Write have ids of their own making.
    if (tab?.closest("#way > .tab-wrapper")) sessionStorage.setItem(OPEN_TAB, tab.dataset.tabId);
  }, true);

  function reopenTab(tries = 60) {
    const wanted = sessionStorage.getItem(OPEN_TAB), tab = wanted && document.querySelector(`#way > .tab-wrapper button[data-tab-id="${wanted}"]`);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
    else if (wanted && !tab && tries) requestAnimationFrame(() => reopenTab(tries - 1));
  }

  // ---- Header ----------------------------------------------------------------------------------------------------

  function paintTheme(dark) {
    document.body.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
  }

  function themeButton() {
    const wanted = () => localStorage.getItem("cdcda-theme");
    if (wanted()) paintTheme(wanted() === "dark");
    return h("button", {
      class: "quiet-button theme-button", type: "button", "aria-label": "Light or dark", title: "Light or dark",
      onclick() {
        const dark = !document.body.classList.contains("dark");
        localStorage.setItem("cdcda-theme", dark ? "dark" : "light");
        paintTheme(dark);
      },
    }, "◐");
  }

  function header(element, props, server, watch) {
    const facts = h("dl", { class: "facts" });
    frame(element, "header-bar", h("h1", { class: "brand" }, "CDCDA"), facts, themeButton());
    requestAnimationFrame(() => reopenTab());
    bind(props, watch, (value) => keyed(facts, value.facts || [],
      () => h("div", { class: "fact" }, h("dt"), h("dd"), h("dd", { class: "fact-share", "aria-hidden": "true" })),
      (node, fact) => {
        say(node.querySelector("dt"), fact.label);
        say(node.querySelector("dd"), fact.value);
        node.title = fact.detail || "";
        node.dataset.tone = fact.tone || "plain";
        refill(node.querySelector(".fact-share"), fact.share === undefined || fact.share === null ? null : fact.share + 1e-9, bar);
      }));
  }

  // ---- Records ---------------------------------------------------------------------------------------------------

  function pager(trigger) {
    const turn = (step) => () => trigger("select", { page: Number(bar.dataset.page) + step });
    const back = h("button", { class: "quiet-button", type: "button", onclick: turn(-1) }, "‹ Back");
    const on = h("button", { class: "quiet-button", type: "button", onclick: turn(1) }, "Next ›");
    const where = h("span", { class: "muted numbers", "aria-live": "polite" });
    const bar = h("nav", { class: "pager", "aria-label": "Pages" }, back, where, on);
    bar.draw = (value) => {
      bar.hidden = !value.total;
      bar.dataset.page = value.page || 1;
      back.disabled = !(value.page > 1);
      on.disabled = !(value.page < value.pages);
      say(where, `${value.first} – ${value.last} of ${value.total}`);
    };
    return bar;
  }

  function recordRow(item, lead, tail) {
    const body = h("div", { class: "record-body" },
      h("div", { class: "record-output" }), h("div", { class: "record-input" }), h("div", { class: "marks" }));
    // It lies over the texts and not around them: what stands in a button is not read as text.
    const open = h("button", {
      class: "record-open", type: "button", "aria-expanded": "false", "aria-label": `Show all of record ${item.id}`,
      onclick() {
        const now = open.getAttribute("aria-expanded") !== "true";
        open.setAttribute("aria-expanded", String(now));
        row.classList.toggle("is-open", now);
      },
    });
    const row = h("li", { class: "record" }, lead, h("div", { class: "record-text" }, open, body), h("div", { class: "record-meta muted" }), tail);
    return row;
  }

  function fillText(node, text, pieces) {
    if (pieces) return refill(node, pieces, found);
    node.dataset.shown = "";
    say(node, text);
  }

  /** What is known of a record, in a line that breaks only between two of them. */
  function facts(words) {
    return h("span", {}, words.flatMap((word, place) => [place ? " · " : null, h("span", { class: "whole" }, word)]));
  }

  function fillRecord(row, item) {
    fillText(row.querySelector(".record-output"), item.output, item.output_pieces);
    fillText(row.querySelector(".record-input"), item.input, item.input_pieces);
    refill(row.querySelector(".record-meta"), [item.task, item.date, item.sent].filter(Boolean), facts);
    const marks = [...(item.findings || []), ...(item.redacted ? ["shared with placeholders"] : [])];
    keyed(row.querySelector(".marks"), marks, () => h("span", { class: "mark-word" }), say, (word) => word);
  }

  /** A form for a record's task and texts; `done` gets them, or null. */
  function recordForm(item, tasks, done) {
    const field = (name, label, rows) => h("label", { class: "field" }, h("span", {}, label), h("textarea", { name, rows }));
    const task = h("select", { name: "task" }, tasks.map(([title, name]) => h("option", { value: name, selected: name === item.name }, title)));
    const form = h("form", { class: "panel record-form", "aria-label": item.id ? `Change record ${item.id}` : "Add a record" },
      h("label", { class: "field" }, h("span", {}, "Task"), task),
      field("input", "What it is about", 3), field("output", "What you wrote", 2),
      h("div", { class: "form-actions" }, h("button", { class: "small-button", type: "submit" }, "Save"),
        h("button", { class: "quiet-button", type: "button", onclick: () => done(null) }, "Cancel")));
    form.elements.input.value = item.input || "";
    form.elements.output.value = item.output || "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      done(Object.fromEntries(["task", "input", "output"].map((name) => [name, form.elements[name].value])));
    });
    return form;
  }

  const SURE_AFTER = 500, SURE_UNTIL = 4000;

  /** A button that asks once more before it does what cannot be taken back. A double click is no answer to that. */
  function sureButton(text, label, act, className = "quiet-button forget") {
    let asked = null, timer = null;
    const button = h("button", { class: className, type: "button", "aria-label": label, onclick(event) {
      if (asked === null) {
        asked = Date.now();
        say(button, `Really ${text.toLowerCase()}?`);
        timer = setTimeout(rest, SURE_UNTIL);
      } else if (event.detail < 2 && Date.now() - asked >= SURE_AFTER) {
        rest();
        act();
      }
    } }, text);
    function rest() {
      clearTimeout(timer);
      asked = null;
      say(button, text);
    }
    return button;
  }

  /** The history: rows that open, are picked by id, changed, deleted and forgotten. */
  function records(element, props, server, watch, trigger) {
    const list = h("ul", { class: "records with-picks", "aria-label": "Your records" });
    const turner = pager(trigger), hint = h("div"), place = h("div", { class: "form-place" });
    const picked = new Set();
    let tasks = [], among = null;

    async function change(asked) {
      const answer = await ask(server.change(asked));
      if (!answer.message) return false;
      if (asked.action === "forget") asked.ids.forEach((id) => picked.delete(id));
      note(answer.message, answer.train && { text: "Train again without them", act: () => change({ action: "train", task: answer.train }) });
      if (asked.action !== "train") trigger("select", { page: Number(turner.dataset.page) || 1 });
      return true;
    }

    async function forPicked(action, more = {}) {
      if (await change({ action, ids: [...picked], ...more })) { picked.clear(); drawBar(); }
    }

    function write(item) {
      const form = recordForm(item, tasks, async (texts) => {
        if (!texts || await change({ action: "write", ids: item.id ? [item.id] : [], ...texts })) place.replaceChildren();
      });
      place.replaceChildren(form);
      form.elements[item.id ? "output" : "input"].focus();
      place.scrollIntoView({ block: "nearest" });
    }

    const small = (text, act) => h("button", { class: "small-button", type: "button", onclick: act }, text);
    const undo = small("Undo", () => change({ action: "undo" }));
    const howMany = h("span", { class: "numbers", "aria-live": "polite" });
    const other = h("select", { "aria-label": "Give the picked records another task", onchange: () => {
      if (other.value) forPicked("task", { task: other.value });
      other.value = "";
    } });
    const all = h("input", { type: "checkbox", "aria-label": "Pick all records of this page", onchange: () => {
      for (const box of list.querySelectorAll("input.pick")) pick(Number(box.dataset.id), box.checked = all.checked);
    } });
    const bulk = h("div", { class: "bulk", role: "group", "aria-label": "For the picked records" }, howMany,
      small("Share", () => forPicked("share")), small("Keep at home", () => forPicked("keep")), other,
      small("Delete", () => forPicked("delete")),
      sureButton("Forget", "Forget the picked records without a trace", () => forPicked("forget"), "small-button forget"));
    const tools = h("div", { class: "record-tools" }, h("label", { class: "share-box" }, all),
      small("Add a record", () => write({ name: "chat" })), undo, bulk);
    frame(element, "records-frame", tools, place, hint, list, turner);

    function drawBar() {
      bulk.hidden = !picked.size;
      say(howMany, `${picked.size} picked`);
      for (const box of list.querySelectorAll("input.pick")) box.checked = picked.has(Number(box.dataset.id));
      all.checked = picked.size > 0 && [...list.querySelectorAll("input.pick")].every((box) => box.checked);
    }

    function pick(id, wish) {
      if (wish) picked.add(id); else picked.delete(id);
      drawBar();
    }

    function row(item) {
      const box = h("input", { class: "pick", type: "checkbox", "data-id": item.id, "aria-label": `Pick record ${item.id}`,
        onchange: () => pick(item.id, box.checked) });
      const tail = h("div", { class: "record-tail" },
        h("button", { class: "quiet-button", type: "button", "aria-label": `Change record ${item.id}`, onclick: () => write(made.item) }, "Change"),
        sureButton("Forget", `Forget record ${item.id}`, () => change({ action: "forget", ids: [item.id] })));
      const made = recordRow(item, h("label", { class: "share-box" }, box), tail);
      return made;
    }

    bind(props, watch, (value) => {
      tasks = value.tasks || [];
      const now = JSON.stringify(value.among);
      if (now !== among) picked.clear();
      among = now;
      tools.hidden = !value.tasks;
      all.closest("label").hidden = !(value.rows || []).length;
      undo.hidden = !value.undo;
      say(undo, value.undo || "");
      refill(other, tasks, () => h("option", { value: "" }, "Another task…"));
      if (other.options.length === 1) other.append(...tasks.map(([title, name]) => h("option", { value: name }, title)));
      refill(hint, value.empty, empty);
      keyed(list, value.rows || [], row, (node, item) => { node.item = item; fillRecord(node, item); });
      turner.draw(value);
      drawBar();
    });
  }

  /** The same rows with a box each. The store holds the truth; a box shows what the store answered. */
  function shareList(element, props, server, watch, trigger) {
    const list = h("ul", { class: "records with-boxes", "aria-label": "Records that can be shared" });
    const turner = pager(trigger);
    const count = h("p", { class: "count", "aria-live": "polite" });
    const hint = h("div");
    frame(element, "records-frame", count, hint, list, turner);
    const wanted = new Map();
    const busy = new Set();

    function counts(answer) {
      if (answer.total === undefined) return;
      say(count, answer.total ? `${answer.shared} of ${answer.total} records shared` : "");
    }

    /** Send the last wish for one record, one request at a time, so that wishes cannot overtake each other. */
    async function send(id, box) {
      if (busy.has(id)) return;
      busy.add(id);
      while (wanted.has(id)) {
        const wish = wanted.get(id);
        wanted.delete(id);
        let answer = await ask(server.set_shared(id, wish, "", []));
        while (answer.ask) {
          const word = await consent(id, answer.ask);
          if (!word) break;
          // What was shown goes along: a record that changed meanwhile is asked about again.
          answer = await ask(server.set_shared(id, true, word, answer.ask.things));
        }
        if (!wanted.has(id)) box.checked = answer.error ? !wish : answer.now;
        told(answer.stamp);
        counts(answer);
      }
      busy.delete(id);
      box.closest("li")?.classList.remove("is-busy");
    }

    function box(item) {
      const input = h("input", {
        type: "checkbox", "aria-label": `Share record ${item.id}: ${item.output.slice(0, 80)}`,
        onchange() {
          wanted.set(item.id, input.checked);
          input.closest("li").classList.add("is-busy");
          send(item.id, input);
        },
      });
      return h("label", { class: "share-box" }, input);
    }

    const told = bind(props, watch, (value) => {
      refill(hint, value.empty, empty);
      counts({ shared: value.shared, total: value.all });
      keyed(list, value.rows || [], (item) => recordRow(item, box(item), null), (row, item) => {
        fillRecord(row, item);
        // A box that was clicked keeps its own state through a redraw unless it is set.
        if (!busy.has(item.id)) row.querySelector("input").checked = item.shared;
        row.classList.toggle("by-slider", item.shared && item.by === "slider");
      });
      turner.draw(value);
    });
  }

  // ---- Import ----------------------------------------------------------------------------------------------------

  /** A text of the program's own, never of a record, in which a command stands between backticks. */
  function withCommands(text) {
    return text.split("`").map((part, place) => place % 2 ? h("code", {}, part) : part);
  }

  const FEW_COLUMNS = 3;

  /** A table; with more columns than fit a telephone, the style sheet shows its rows as blocks there. */
  function table(label, columns, rows, words = (text) => text) {
    const wide = columns.length > FEW_COLUMNS ? " is-wide" : "";
    return h("div", { class: `table-frame${wide}`, tabindex: "0", role: "region", "aria-label": label },
      h("table", {}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, place) => h("td", { "data-column": columns[place] },
          h("span", {}, words(cell ?? "")))))))));
  }

  function preview(element, props, server, watch) {
    const place = frame(element, "preview");
    bind(props, watch, (value) => refill(place, value.columns && value, () => h("div", {},
      h("p", { class: "muted" }, value.summary),
      table("The first records of the file", value.columns, value.rows))));
  }

  function saveText(name, text, type = "text/csv") {
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const PATIENCE = 5000; // Milliseconds in which a bar appears that was asked for.

  /** Bring the bar of a view into sight as soon as there is one: it may stand below the window. */
  function barInSight(view) {
    const until = performance.now() + PATIENCE;
    requestAnimationFrame(function look() {
      const bar = [...document.querySelectorAll(`.view-${view} [role="progressbar"]`)].find((node) => node.checkVisibility());
      if (bar) bar.closest(".block").scrollIntoView({ block: "nearest" });
      else if (performance.now() < until) requestAnimationFrame(look);
    });
  }

  function report(element, props, server, watch) {
    const place = frame(element, "report");
    bind(props, watch, (value) => refill(place, value.headline && value, () => h("div", { class: "panel", role: "status" },
      h("p", { class: "headline" }, value.headline),
      value.rejected.length ? h("details", {}, h("summary", {}, value.rejected_title),
        h("ul", { class: "plain" }, value.rejected.map((line) => h("li", {}, `Line ${line.line}: ${line.reason}`))),
        h("button", {
          class: "quiet-button", type: "button",
          onclick: () => saveText("rejected-lines.csv", value.csv),
        }, "Download this report")) : null, value.go ? goButton(value.go) : null)));
  }

  // ---- Payload and progress --------------------------------------------------------------------------------------

  function payload(element, props, server, watch) {
    const place = frame(element, "payload");
    let last = "";
    bind(props, watch, (value) => {
      draw(value);
      // It may stand below what is in sight: whoever asked for it sees it.
      if (value.sha256 && value.sha256 !== last) requestAnimationFrame(() => requestAnimationFrame(() => place.scrollIntoView({ block: "nearest" })));
      last = value.sha256;
    });
    function draw(value) { refill(place, value.sha256 && value, () => h("div", { class: "panel" },
      h("dl", { class: "pairs-of-facts" }, value.facts.map((fact) => h("div", {},
        h("dt", {}, fact.label), h("dd", { class: fact.code ? "mono" : null }, fact.value)))),
      h("details", { open: true }, h("summary", {}, "What it says"),
        h("pre", { class: "code", tabindex: "0", "aria-label": "Readable payload" }, value.readable)),
      h("details", {}, h("summary", {}, `The exact ${value.bytes} bytes`),
        h("pre", { class: "code wrap", tabindex: "0", "aria-label": "Exact payload" }, value.exact)))); }
  }

  function bar(share, tone) {
    return h("div", { class: "bar", "data-tone": tone || "plain" },
      h("span", { style: `width:${Math.max(0, Math.min(1, share)) * 100}%` }));
  }

  /** Title, bar and details of a job, drawn from its whole state. */
  function progressFrame() {
    const title = h("strong"), state = h("span", { class: "muted numbers" }), detail = h("p", { class: "muted" });
    const fill = h("span"), track = h("div", { class: "bar big", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
    const onward = h("div");
    const node = h("div", { class: "progress" }, h("div", { class: "progress-head" }, title, state), track, detail, onward);
    node.draw = (value) => {
      node.hidden = !value.title;
      const share = value.total ? value.done / value.total : 0;
      say(title, value.title || "");
      say(state, value.state || "");
      say(detail, value.detail || "");
      node.dataset.tone = value.tone || "plain";
      fill.style.width = `${share * 100}%`;
      track.setAttribute("aria-valuenow", Math.round(share * 100));
      track.setAttribute("aria-label", value.title || "Progress");
      refill(onward, value.go, goButton);
    };
    return node;
  }

  function augmenting(element, props, server, watch) {
    const progress = progressFrame();
    const list = h("ul", { class: "arriving", "aria-label": "Pairs that arrived, newest first" });
    frame(element, "job-frame", progress, list);
    bind(props, watch, (value) => {
      progress.draw(value);
      keyed(list, value.pairs || [],
        () => h("li", {}, h("span", { class: "verdict" }), h("span", { class: "pair-output" }), h("span", { class: "muted pair-input" })),
        (node, pair) => {
          node.dataset.kept = pair.kept;
          say(node.querySelector(".verdict"), pair.kept ? "kept" : "rejected");
          say(node.querySelector(".pair-output"), pair.output);
          say(node.querySelector(".pair-input"), pair.input);
        });
    });
  }

  // ---- Review ----------------------------------------------------------------------------------------------------

  function scoreBar(score) {
    return h("div", { class: "score", title: score.detail },
      h("span", { class: "score-name" }, score.label), bar(score.share, score.good ? "good" : "bad"),
      h("span", { class: "numbers" }, score.shown));
  }

  function pairText(title, input, output, className) {
    return h("div", { class: `pair-side ${className}` }, h("h3", {}, title), h("p", { class: "pair-output" }, ...runs(output)), h("p", { class: "pair-input muted" }, ...runs(input)));
  }

  /** A text, or runs of [text, whether it differs]: those that do are marked. */
  function runs(text) {
    return typeof text === "string" ? [text] : text.map(([run, differs]) => differs ? h("mark", { class: "differs" }, run) : run);
  }

  /** Whether a value passes the thresholds of its score, in the order in which they stand there. */
  const PASSES = {
    above: (value, [least]) => value >= least,
    below: (value, [most]) => value <= most,
    between: (value, [least, most]) => value >= least && value <= most,
  };

  /** How often each value of a score occurs, the thresholds drawn in; what they reject is paler. */
  function histogram(value, marks) {
    const most = Math.max(...value.counts, 1), width = 100 / value.counts.length;
    const words = `${value.label}: ${value.counts.reduce((sum, count) => sum + count, 0)} pairs, threshold ${marks.join(" and ")}`;
    const passes = (place) => PASSES[value.keep]((place + 0.5) * value.top / value.counts.length, marks);
    return h("svg", { viewBox: "0 0 100 36", preserveAspectRatio: "none", role: "img", "aria-label": words },
      value.counts.map((count, place) => h("path", { class: passes(place) ? "column" : "column is-out",
        d: `M${place * width + 0.4} 36v${-34 * count / most}h${width - 0.8}v${34 * count / most}z` })),
      marks.map((mark) => h("line", { class: "threshold", x1: 100 * mark / value.top, x2: 100 * mark / value.top, y1: 0, y2: 36 })));
  }

  /** A score: its histogram, and under it a slider for each threshold, which lies where its line is drawn. */
  function scoreChart(first, moved) {
    const picture = h("div", { class: "histogram-picture" }), passed = h("span", { class: "numbers muted small" });
    const values = first.sliders.map(() => h("output", { class: "numbers" }));
    const inputs = first.sliders.map((slider) => h("input", { type: "range", min: 0, max: first.top, step: slider.step,
      "aria-label": slider.label, oninput: () => { draw(); moved(); } }));
    const node = h("figure", { class: "histogram" },
      h("figcaption", {}, h("span", {}, first.label), passed), picture,
      first.sliders.map((slider, place) => h("div", { class: "threshold-row" }, inputs[place],
        h("span", { class: "muted small", "aria-hidden": "true" }, slider.words, " ", values[place]))));
    let value = first;
    function draw() {
      const marks = inputs.map((input) => Number(input.value));
      refill(picture, [value, marks], () => histogram(value, marks));
      marks.forEach((mark, place) => say(values[place], mark.toFixed(2)));
    }
    node.marks = () => inputs.map((input) => Number(input.value));
    node.draw = (now, keep) => {
      value = now;
      say(passed, now.passed);
      if (!keep) inputs.forEach((input, place) => { input.max = now.top; input.value = now.sliders[place].value; });
      draw();
    };
    return node;
  }

  function review(element, props, server, watch, trigger) {
    const count = h("p", { class: "count", "aria-live": "polite" });
    const hint = h("div"), list = h("ul", { class: "cards", "aria-label": "Synthetic pairs" });
    const turner = pager(trigger), row = h("div", { class: "histogram-row" });
    const standard = h("button", { class: "quiet-button", type: "button", onclick: () => judge(shown.standard) }, "Back to the standard");
    const charts = h("details", { class: "histograms", open: window.innerWidth > 700 }, h("summary", {}, "Thresholds"),
      h("div", { class: "histogram-words" }, h("p", { class: "muted small" }, "Move a threshold, and every pair is judged again at once. Paler bars are rejected."), standard), row);
    let shown = {}, wanted = null, judging = false;
    const keys = h("p", { class: "muted small keys" }, "Keys: ", ...["j next", "k back", "a accept", "r reject", "e edit", "u undo", "b by score"].flatMap(
      (words) => [h("kbd", {}, words[0]), `${words.slice(1)}  `]));
    frame(element, "review-frame", count, charts, hint, keys, list, turner);

    /** Have every pair judged under other thresholds: one request at a time, and of quick moves the last one counts. */
    async function judge(marks) {
      wanted = marks || [...row.children].flatMap((chart) => chart.marks());
      if (judging) return;
      judging = true;
      while (wanted) {
        const asked = wanted;
        wanted = null;
        const answer = await ask(server.judge_here([...asked, shown.show, shown.page || 1]));
        // As the part's value it is also what the buttons for many pairs are for.
        if (answer.cards) draw(props.value = answer);
        else if (!wanted) draw(shown);
      }
      judging = false;
      trigger("input");
    }

    function step(by) {
      const cards = [...list.children], at = cards.indexOf(document.activeElement.closest(".card"));
      const next = cards[Math.max(0, Math.min(cards.length - 1, at + by))];
      next?.focus();
      next?.scrollIntoView({ block: "nearest" });
    }

    /** Open the part that decides by a score, and go to its first field. */
    function byScore() {
      const part = document.getElementById("by-score");
      part?.querySelector("button.label-wrap:not(.open)")?.click();
      // What was folded comes into the page a few frames later.
      const reach = (frames) => requestAnimationFrame(() => {
        const field = part?.querySelector("input:checked");
        if (field?.offsetParent) field.focus(); else if (frames) reach(frames - 1);
      });
      reach(30);
    }

    /** Letters act on the card that has the focus; where nothing has it, j begins with the first. */
    document.addEventListener("keydown", (event) => {
      const target = event.target, card = target.closest?.("#review-cards .card");
      if (!list.offsetParent || event.ctrlKey || event.metaKey || event.altKey || target.closest?.("textarea, input, select")) return;
      if (!card && target !== document.body) return;
      const act = {
        j: () => step(1), k: () => step(-1), u: () => document.getElementById("review-undo")?.click(),
        a: () => card?.querySelector('[data-kind="accepted"]')?.click(),
        r: () => card?.querySelector('[data-kind="rejected"]')?.click(),
        e: () => card?.querySelector('[data-kind="edited"]')?.click(),
        b: byScore,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });

    async function decide(node, id, kind, output, input) {
      node.classList.add("is-busy");
      const answer = await ask(server.decide(id, kind, output ?? null, input ?? null));
      node.classList.remove("is-busy");
      const focused = node.contains(document.activeElement);
      if (answer.card) fill(node, answer.card);
      // What had the focus has been made anew: the next key is for this card still.
      if (focused) node.focus();
      if (answer.counts) say(count, answer.counts);
      if (answer.card) trigger("input");
    }

    function editor(node, card) {
      const field = (text, label, rows) => {
        const area = h("textarea", { rows, "aria-label": `${label} of pair ${card.id}` });
        area.value = text;
        return [area, h("label", { class: "field" }, h("span", {}, label), area)];
      };
      const [output, outputField] = field(card.synthetic.output, "Your own text", 2);
      const [input, inputField] = field(card.synthetic.input, "What it is about", 4);
      const close = () => { fill(node, card, true); node.focus(); };
      const save = () => decide(node, card.id, "edited", output.value, input.value);
      const form = h("div", { class: "card-editor", onkeydown: (event) => {
        if (event.key === "Escape") close();
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      } }, outputField, inputField, h("div", { class: "form-actions" },
        h("button", { class: "small-button", type: "button", onclick: save }, "Save"),
        h("button", { class: "quiet-button", type: "button", onclick: close }, "Cancel")));
      node.querySelector(".card-actions").replaceChildren();
      node.querySelector(".card-texts").after(form);
      output.focus();
    }

    function actions(node, card) {
      const button = (kind, label, act) => h("button", {
        class: "small-button", type: "button", "data-kind": kind, "aria-pressed": String(card.decision === kind),
        "aria-label": `${label} pair ${card.id}`, onclick: act,
      }, label);
      return h("div", { class: "card-actions" },
        button("accepted", "Accept", () => decide(node, card.id, "accepted")),
        button("edited", "Edit", () => editor(node, card)),
        button("rejected", "Reject", () => decide(node, card.id, "rejected")));
    }

    function fill(node, card, force = false) {
      const shown = JSON.stringify(card);
      if (node.dataset.shown === shown && !force) return;
      node.dataset.shown = shown;
      node.dataset.kept = card.kept;
      node.replaceChildren(
        h("div", { class: "card-head" }, h("span", { class: "verdict" }, card.verdict),
          h("span", { class: "muted" }, card.reasons.join("; ")), h("span", { class: "muted card-id" }, card.origin)),
        h("div", { class: "card-texts" }, pairText("Yours", card.original.input, card.original.output, "yours"),
          pairText(card.synthetic.title, card.synthetic.input_runs, card.synthetic.output_runs, "synthetic")),
        h("div", { class: "card-foot" }, h("div", { class: "scores" }, card.scores.map(scoreBar)), actions(node, card)));
    }

    function draw(value) {
      shown = value;
      refill(hint, value.empty, empty);
      say(count, value.counts || "");
      keys.hidden = !(value.cards || []).length;
      charts.hidden = !(value.histograms || []).length;
      standard.hidden = value.is_standard;
      // A slider that is being moved stays where the hand has it.
      keyed(row, value.histograms || [], (item) => scoreChart(item, () => judge()), (node, item) => node.draw(item, Boolean(wanted)), (item) => item.label);
      keyed(list, value.cards || [], () => h("li", { class: "card", tabindex: "0" }), fill);
      turner.draw(value);
    }
    bind(props, watch, draw);
  }

  // ---- Training --------------------------------------------------------------------------------------------------

  const HIGH = 200, LEFT = 44, LOW = 24;

  /** Draw now and whenever the place gets another width: charts are drawn in the page's own pixels, so their words stay legible. */
  function fitted(place, draw) {
    let wide = 0;
    new ResizeObserver(([entry]) => requestAnimationFrame(() => {
      const now = Math.round(entry.contentRect.width);
      if (!now || now === wide) return;
      wide = now;
      draw();
    })).observe(place);
    return () => Math.max(240, (wide || 640) - 34);
  }

  function scale(points, steps, wide) {
    const losses = points.map((point) => point[1]);
    const top = Math.max(...losses, 0.1), bottom = Math.min(...losses, top - 0.1);
    const room = (top - bottom) * 0.08;
    return {
      top: top + room, bottom: Math.max(0, bottom - room),
      across: (step) => LEFT + (wide - LEFT - 8) * (step / Math.max(1, steps)),
      down(loss) { return 8 + (HIGH - LOW - 8) * ((this.top - loss) / Math.max(1e-9, this.top - this.bottom)); },
    };
  }

  function line(points, scaled, className) {
    const path = points.map(([step, loss], place) => `${place ? "L" : "M"}${scaled.across(step).toFixed(1)} ${scaled.down(loss).toFixed(1)}`);
    return h("path", { d: path.join(""), class: className });
  }

  /** Loss over steps, with the held-out loss as dots; colours come from the style sheet. */
  function curve(value, wide) {
    const scaled = scale([...value.losses, ...value.held_out], value.steps, wide);
    const heights = [0, 0.5, 1].map((share) => scaled.bottom + (scaled.top - scaled.bottom) * share);
    return h("figure", { class: "curve" },
      h("svg", { width: wide, height: HIGH, role: "img", "aria-label": value.description },
        heights.map((loss) => h("g", {},
          h("line", { x1: LEFT, x2: wide - 8, y1: scaled.down(loss), y2: scaled.down(loss), class: "grid" }),
          h("text", { x: LEFT - 8, y: scaled.down(loss) + 4, "text-anchor": "end" }, loss.toFixed(2)))),
        h("text", { x: LEFT, y: HIGH - 4 }, "0"),
        h("text", { x: wide - 8, y: HIGH - 4, "text-anchor": "end" }, `step ${value.steps}`),
        line(value.losses, scaled, "loss"),
        value.held_out.length > 1 ? line(value.held_out, scaled, "held-out") : null,
        value.held_out.map(([step, loss]) => h("circle", { cx: scaled.across(step), cy: scaled.down(loss), r: 3.5, class: "held-out-dot" }))),
      h("figcaption", { class: "muted" }, h("span", { class: "key loss-key" }, "loss while learning"),
        value.held_out.length ? h("span", { class: "key held-out-key" }, "loss on held-out records") : null));
  }

  function training(element, props, server, watch) {
    const progress = progressFrame();
    const plot = h("div"), words = h("div");
    frame(element, "job-frame", progress, plot, words);
    let drawn = null;
    const wide = fitted(plot, () => drawCurve());
    const drawCurve = () => refill(plot, drawn && [drawn, wide()], () => curve(drawn, wide()));
    bind(props, watch, (value) => {
      progress.draw(value);
      drawn = value.curve;
      drawCurve();
      refill(words, value.verdict, (verdict) => h("div", { class: "panel", role: "status", "data-tone": verdict.tone },
        h("p", { class: "headline" }, verdict.headline), h("p", { class: "muted" }, verdict.text),
        verdict.go ? goButton(verdict.go) : null));
    });
  }

  /** A record or a pair as a line: its number, its text, or that it is gone. */
  function source(name, item) {
    return [h("span", { class: "source-name muted numbers" }, name), item.forgotten
      ? h("em", { class: "muted" }, item.forgotten)
      : h("div", {}, h("p", { class: "record-output" }, item.output), h("p", { class: "record-input" }, item.input))];
  }

  /** What an adapter learned from, fetched when it is unfolded and a page at a time. */
  function learnedFrom(id, name, server) {
    const said = h("p", { class: "muted", "aria-live": "polite" }), list = h("ul", { class: "plain sources", tabindex: "0", "aria-label": `What ${name} learned from` });
    const turner = pager((_, { page }) => fetch(page));
    async function fetch(page) {
      const answer = await ask(server.sources(id, page));
      if (!answer.rows) return;
      say(said, answer.summary);
      turner.draw(answer);
      turner.hidden = !(answer.pages > 1);
      keyed(list, answer.rows, () => h("li"), (node, row) => refill(node, row, () => h("div", {}, h("div", { class: "source" }, source(`record ${row.id}`, row)),
        row.pairs.map((pair) => h("div", { class: "source from-record" }, source(`pair ${pair.id}`, pair))))));
    }
    const folded = h("details", { class: "learned-from", ontoggle: () => { if (folded.open) fetch(Number(turner.dataset.page) || 1); } },
      h("summary", { "aria-label": `What ${name} learned from` }, "What it learned from"), said, list, turner);
    return folded;
  }

  function adapters(element, props, server, watch) {
    const hint = h("div"), list = h("ul", { class: "adapters", "aria-label": "Adapters" });
    frame(element, "adapters-frame", hint, list);
    async function use(id) {
      const answer = await ask(server.use_adapter(id));
      if (answer.adapters) draw(answer.adapters);
    }
    function draw(value) {
      refill(hint, value.empty, empty);
      keyed(list, value.rows || [], (row) => h("li", { class: "adapter" }, h("div"),
        h("button", { class: "small-button", type: "button" }), learnedFrom(row.id, row.name, server)), (node, row) => {
        node.dataset.on = row.on;
        refill(node.firstElementChild, row, () => h("div", {}, h("strong", {}, row.name), row.stale ? h("span", { class: "tag" }, "stale") : null,
          h("p", { class: "muted" }, row.detail)));
        const button = node.querySelector(":scope > button");
        say(button, row.on ? "Off" : "Use");
        button.setAttribute("aria-label", `${row.on ? "Switch off" : "Use"} ${row.name}`);
        button.onclick = () => use(row.on ? null : row.id);
      });
    }
    bind(props, watch, draw);
  }

  /** The losses of two trainings in one picture; the held-out ones as dots. */
  function twoCurves(value, wide) {
    const scaled = scale(value.runs.flatMap((run) => [...run.losses, ...run.held_out]), value.steps, wide);
    const heights = [0, 0.5, 1].map((share) => scaled.bottom + (scaled.top - scaled.bottom) * share);
    return h("figure", { class: "curve" },
      h("svg", { width: wide, height: HIGH, role: "img", "aria-label": value.description },
        heights.map((loss) => h("g", {},
          h("line", { x1: LEFT, x2: wide - 8, y1: scaled.down(loss), y2: scaled.down(loss), class: "grid" }),
          h("text", { x: LEFT - 8, y: scaled.down(loss) + 4, "text-anchor": "end" }, loss.toFixed(2)))),
        h("text", { x: LEFT, y: HIGH - 4 }, "0"),
        h("text", { x: wide - 8, y: HIGH - 4, "text-anchor": "end" }, `step ${value.steps}`),
        value.runs.map((run, place) => h("g", { class: `run-${place}` }, line(run.losses, scaled, "run-loss"),
          run.held_out.length > 1 ? line(run.held_out, scaled, "run-held-out") : null,
          run.held_out.map(([step, loss]) => h("circle", { cx: scaled.across(step), cy: scaled.down(loss), r: 3.5 }))))),
      h("figcaption", { class: "muted" }, value.runs.map((run, place) => h("span", { class: `key run-${place}-key` },
        run.losses.length ? run.name : `${run.name}, not kept`)), h("span", {}, "dots: on held-out records")));
  }

  /** Two adapters side by side: a table, both curves, and what one learned from alone. */
  function twoRuns(element, props, server, watch) {
    const hint = h("div"), facts = h("div"), plot = h("div"), words = h("div");
    frame(element, "job-frame", hint, facts, plot, words);
    let value = {};
    const wide = fitted(plot, () => drawCurves());
    const drawCurves = () => refill(plot, value.curves && [value.curves, wide()], () => twoCurves(value.curves, wide()));
    bind(props, watch, (now) => {
      value = now;
      refill(hint, value.empty, empty);
      refill(facts, value.rows && [value.columns, value.rows, value.same], () => h("div", {}, table("Two adapters side by side", value.columns, value.rows),
        value.same ? h("p", { class: "muted" }, value.same) : null));
      drawCurves();
      refill(words, value.alone && [value.both, value.alone], () => h("div", { class: "panel" }, h("p", { class: "muted" }, value.both),
        value.alone.map((alone) => alone.rows.length ? h("details", {}, h("summary", {}, alone.title),
          h("ul", { class: "plain sources", tabindex: "0", "aria-label": alone.title }, alone.rows.map((row) => h("li", {}, h("div", { class: "source" }, source(`record ${row.id}`, row))))),
          alone.more ? h("p", { class: "muted" }, alone.more) : null) : h("p", { class: "muted" }, alone.title))));
    });
  }

  // ---- Writing ---------------------------------------------------------------------------------------------------

  /** Put a text on the clipboard; pages that are not on this computer's own address may only use the old way. */
  async function copyText(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = h("textarea", { class: "off-screen", "aria-hidden": "true" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say(button, "Copied");
    setTimeout(() => say(button, "Copy"), 1600);
  }

  /** Copy, Edit and "Keep as a record" for an answer; `of()` gives the answer as it is now. */
  function answerActions(of, keep) {
    const place = h("div", { class: "form-place" }), row = h("div", { class: "answer-actions", role: "group" });
    const small = (text, act) => h("button", { class: "quiet-button", type: "button", onclick: act }, text);
    const copy = small("Copy", () => copyText(of().text, copy));
    const edit = small("Edit", () => {
      const field = h("textarea", { rows: 3, "aria-label": "Your own version of this answer" });
      field.value = of().text;
      const save = h("button", { class: "small-button", type: "button", onclick: async () => {
        if (await store(field.value)) place.replaceChildren();
      } }, "Keep my version as a record");
      place.replaceChildren(field, h("div", { class: "form-actions" }, save, small("Cancel", () => place.replaceChildren())));
      field.focus();
    });
    const record = small("Keep as a record", () => store(""));
    async function store(text) {
      record.disabled = true;
      const answer = await ask(keep([of().answer, text]));
      if (answer.message) note(answer.message);
      if (answer.message && !text) kept = of().answer;
      draw();
      return Boolean(answer.message);
    }
    let kept = null, drawnFor = null;
    function draw() {
      const now = of();
      if (now.answer !== drawnFor) place.replaceChildren();
      drawnFor = now.answer;
      row.hidden = !now.text || now.waiting;
      edit.hidden = record.hidden = !now.answer;
      record.disabled = kept !== null && kept === now.answer;
      say(record, record.disabled ? "Kept" : "Keep as a record");
      row.setAttribute("aria-label", now.title || "This answer");
    }
    row.append(copy, edit, record);
    const node = h("div", { class: "answer-tools" }, row, place);
    node.draw = draw;
    return node;
  }

  /** Texts to try: a press puts one into the field above. */
  function samples(element, props, server, watch) {
    const list = h("div", { role: "group", "aria-label": "Texts to try" });
    frame(element, "samples-frame", list);
    function take(text) {
      const field = document.querySelector("#write-text textarea");
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    }
    bind(props, watch, (value) => refill(list, (value.texts || []).length ? value.texts : null, (texts) => h("div", { class: "samples" },
      h("span", { class: "muted" }, "Try one:"),
      texts.map((text) => h("button", { class: "small-button", type: "button", title: text, onclick: () => take(text) }, text)))));
  }

  /** Two answers side by side; with a click, the words are marked in which they differ. */
  function answers(element, props, server, watch) {
    const sides = h("div", { class: "answers" }), hint = h("div");
    const mark = h("button", { class: "small-button", type: "button", "aria-pressed": "false", onclick: () => {
      mark.setAttribute("aria-pressed", String(mark.getAttribute("aria-pressed") !== "true"));
      draw(shown);
    } }, "Show what differs");
    const bar = h("div", { class: "answers-bar" }, mark);
    const added = h("div");
    frame(element, "answers-frame", hint, bar, sides, added);
    let shown = {};

    /** The records that were looked up and stood in the prompt. */
    function lookedUp(value) {
      return h("details", { class: "panel looked-up" }, h("summary", {}, value.title),
        h("ul", { class: "plain" }, value.rows.map((row) => h("li", {}, h("p", { class: "record-output" }, row.output),
          h("p", { class: "record-input" }, row.input)))));
    }

    function make() {
      const text = h("p", { class: "answer-text", "aria-live": "polite" });
      const node = h("section", { class: "answer" }, h("header", {}, h("h3"), h("span", { class: "tag" })),
        text, h("div", { class: "answer-foot muted numbers" }));
      node.tools = answerActions(() => node.side, (asked) => server.keep_shown(asked));
      node.append(node.tools);
      return node;
    }

    function fill(node, side) {
      node.side = side;
      const marked = mark.getAttribute("aria-pressed") === "true" && (side.runs || []).length;
      say(node.querySelector("h3"), side.chosen ? `${side.title}, your choice` : side.title);
      say(node.querySelector(".tag"), side.adapter);
      const text = node.querySelector(".answer-text");
      if (marked) refill(text, side.runs, (all) => h("span", {}, runs(all)));
      else { text.dataset.shown = ""; say(text, side.text || (side.waiting ? "" : "(an empty answer)")); if (text.firstElementChild) text.textContent = side.text; }
      say(node.querySelector(".answer-foot"), side.speed);
      node.classList.toggle("is-waiting", Boolean(side.waiting));
      node.classList.toggle("is-chosen", Boolean(side.chosen));
      node.setAttribute("aria-label", side.title);
      node.tools.draw();
    }

    function draw(value) {
      shown = value;
      refill(hint, value.empty, empty);
      // It keeps its place while the answers grow, so that they do not jump once they are done.
      bar.hidden = !(value.sides || []).length;
      mark.disabled = !value.done;
      keyed(sides, value.sides || [], make, fill);
      refill(added, value.added, lookedUp);
    }
    bind(props, watch, draw);
  }

  function chat(element, props, server, watch) {
    const list = h("ol", { class: "chat", tabindex: "0", "aria-label": "Conversation", "aria-live": "polite" }), hint = h("div");
    frame(element, "chat-frame", hint, list);
    function make(message) {
      const node = h("li", {}, h("div", { class: "bubble" }), h("div", { class: "muted small numbers" }));
      node.tools = answerActions(() => node.message, (asked) => server.keep_shown(asked));
      if (message.role === "model") node.append(node.tools);
      return node;
    }
    bind(props, watch, (value) => {
      refill(hint, value.empty, empty);
      list.hidden = !(value.messages || []).length;
      keyed(list, value.messages || [], make, (node, message) => {
        node.message = { ...message, waiting: message.waiting || (message.role === "model" && !message.answer) };
        node.className = `from-${message.role}`;
        node.classList.toggle("waiting", Boolean(node.message.waiting));
        say(node.firstElementChild, message.text);
        say(node.children[1], message.detail || "");
        node.tools.draw();
      }, (message) => `${message.role} ${message.id}`);
      list.scrollTop = list.scrollHeight;
    });
  }

  // ---- Insights --------------------------------------------------------------------------------------------------

  const PLOT_HIGH = 240, PLOT_LOW = 30;

  /** The least of 1, 2 and 5 times a power of ten that is no smaller. */
  function roundStep(wanted) {
    const power = 10 ** Math.floor(Math.log10(wanted));
    return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= wanted - 1e-9);
  }

  /** Where values lie in a plot: room above and below, and round numbers at the lines. */
  function plotScale(value, wide) {
    const every = [...value.series.flatMap((one) => one.points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y])),
      ...(value.levels || []).map((level) => level.y)];
    const least = Math.min(...every), most = Math.max(...every), room = Math.max(0.02, (most - least) * 0.12);
    const step = roundStep((most - least + 2 * room) / 4);
    const bottom = Math.max(0, Math.floor((least - room) / step) * step), top = Math.ceil((most + room) / step) * step;
    return {
      lines: Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, number) => bottom + step * number),
      across: (x) => LEFT + 30 + (wide - LEFT - 68) * x,
      down: (y) => 10 + (PLOT_HIGH - PLOT_LOW - 10) * (top - y) / Math.max(1e-9, top - bottom),
    };
  }

  function plotSeries(one, scaled) {
    const path = one.points.map((point, place) => `${place ? "L" : "M"}${scaled.across(point.x).toFixed(1)} ${scaled.down(point.y).toFixed(1)}`);
    return h("g", { class: `system-${one.id}` },
      one.points.map((point) => point.low === null || point.low === undefined ? null : h("line", { class: "interval",
        x1: scaled.across(point.x), x2: scaled.across(point.x), y1: scaled.down(point.low), y2: scaled.down(point.high) })),
      h("path", { d: path.join("") }),
      one.points.map((point) => h("circle", { cx: scaled.across(point.x), cy: scaled.down(point.y), r: 4 })));
  }

  /** Lines and levels with their intervals; the same in a table, for those who do not see the picture. */
  function plotFigure(value, wide) {
    const scaled = plotScale(value, wide), named = [...value.series, ...(value.levels || [])];
    return h("figure", { class: "plot" },
      h("svg", { width: wide, height: PLOT_HIGH, role: "img", "aria-label": `${value.title}. ${value.description}` },
        scaled.lines.map((y) => h("g", {},
          h("line", { x1: LEFT, x2: wide - 8, y1: scaled.down(y), y2: scaled.down(y), class: "grid" }),
          h("text", { x: LEFT - 8, y: scaled.down(y) + 4, "text-anchor": "end" }, y.toFixed(2)))),
        value.ticks.map((tick, place) => h("text", { x: scaled.across(tick.x), y: PLOT_HIGH - 8,
          "text-anchor": value.ticks.length === 1 ? "middle" : place === 0 ? "start" : place === value.ticks.length - 1 ? "end" : "middle" }, tick.label)),
        (value.levels || []).map((level) => h("g", { class: `system-${level.id}` },
          h("line", { class: "level", x1: LEFT, x2: wide - 8, y1: scaled.down(level.y), y2: scaled.down(level.y) }))),
        value.series.map((one) => plotSeries(one, scaled))),
      h("figcaption", { class: "muted" }, named.map((one) => h("span", { class: `key system-${one.id}` }, one.name))));
  }

  function plot(element, props, server, watch) {
    const place = frame(element, "plot-frame"), hint = h("div"), body = h("div");
    place.append(hint, body);
    let value = {};
    const wide = fitted(place, () => draw());
    const draw = () => {
      refill(hint, value.empty, empty);
      refill(body, value.series ? [value, wide()] : null, () => h("div", { class: "panel" },
        value.title ? h("p", { class: "headline" }, value.title) : null, h("p", { class: "muted" }, value.description),
        value.series.some((one) => one.points.length) || (value.levels || []).length ? plotFigure(value, wide()) : null,
        h("details", {}, h("summary", {}, "As a table"), table(value.title || "Scores", value.table.columns, value.table.rows))));
    };
    bind(props, watch, (now) => { value = now; draw(); });
  }

  /** A job that works, without more than how far it is. */
  function working(element, props, server, watch) {
    const progress = progressFrame();
    frame(element, "job-frame", progress);
    bind(props, watch, (value) => progress.draw(value));
  }

  /** Votes of each adapter as one bar of three parts, its numbers written out. */
  function votes(element, props, server, watch) {
    const hint = h("div"), list = h("ul", { class: "plain vote-rows", "aria-label": "Votes by adapter" });
    frame(element, "votes-frame", hint, list);
    bind(props, watch, (value) => {
      refill(hint, value.empty, empty);
      keyed(list, value.rows || [], () => h("li", {}), (node, row) => refill(node, row, () => {
        const all = Math.max(1, row.parts.reduce((sum, part) => sum + part.count, 0));
        return h("div", { class: "vote-row" },
          h("div", { class: "vote-name" }, h("strong", {}, row.name), h("span", { class: "muted small" }, row.detail)),
          h("div", { class: "vote-bar", "aria-hidden": "true" }, row.parts.map((part, place) => part.count
            ? h("span", { class: `vote-part part-${place}`, style: `flex-grow:${part.count / all}` }) : null)),
          h("div", { class: "vote-words muted numbers" }, row.parts.map((part) => `${part.label} ${part.count}`).join(" · ")));
      }));
    });
  }

  /** What left and what came of it: four numbers and where it went. */
  function brought(element, props, server, watch) {
    const hint = h("div"), body = h("div");
    frame(element, "brought-frame", hint, body);
    bind(props, watch, (value) => {
      refill(hint, value.empty, empty);
      refill(body, value.steps ? value : null, () => h("div", {},
        h("ol", { class: "plain brought-steps" }, value.steps.map((step) => h("li", { class: "panel" },
          h("strong", { class: "numbers" }, step.count.toLocaleString("en")), h("span", {}, step.label),
          step.detail ? h("span", { class: "muted small" }, step.detail) : null))),
        value.table.rows.length ? table("Where records went", value.table.columns, value.table.rows) : null));
    });
  }

  // ---- Settings --------------------------------------------------------------------------------------------------

  /** Things that can be fetched, one a line; `pull` asks for one of them by its id. */
  function fetchable(element, props, watch, label, pull) {
    const list = h("ul", { class: "models", "aria-label": label });
    frame(element, "models-frame", list);
    bind(props, watch, (value) => keyed(list, value.rows || [],
      () => h("li", { class: "model" }, h("div"), h("div", { class: "model-state" })), (node, row) => {
        refill(node.firstElementChild, [row.title, row.detail], () => h("div", {}, h("strong", {}, row.title),
          h("p", { class: "muted" }, row.detail, " ", row.licence)));
        node.dataset.here = row.here;
        refill(node.lastElementChild, [row.state, row.share, row.pull], () => h("div", {}, h("span", { class: "muted numbers" }, row.state),
          row.share === null ? null : bar(row.share),
          row.pull ? h("button", { class: "small-button", type: "button", "aria-label": `Fetch ${row.title}`,
            onclick: () => ask(pull(row.name)) }, "Fetch") : null));
      }));
  }

  function models(element, props, server, watch) {
    fetchable(element, props, watch, "Models", (name) => server.pull_model(name));
  }

  function bases(element, props, server, watch) {
    fetchable(element, props, watch, "Bases", (name) => server.pull_base(name));
  }

  function findings(element, props, server, watch) {
    const list = h("ul", { class: "findings", "aria-label": "What the doctor found" });
    frame(element, "findings-frame", list);
    bind(props, watch, (value) => keyed(list, value.rows || [], () => h("li"), (node, row) => refill(node, row, () =>
      h("div", { class: "finding", "data-good": String(row.good) }, h("span", { class: "mark", "aria-label": row.good ? "good" : "not good" }, row.good ? "✓" : "!"),
        h("div", {}, h("strong", {}, row.name), h("p", { class: "muted" }, row.detail), row.advice ? h("p", {}, row.advice) : null))),
      (row) => row.name));
  }

  /** Everything that uses the network. */
  function waysOut(element, props, server, watch) {
    const place = frame(element, "ways-frame");
    bind(props, watch, (value) => refill(place, value.rows && value, () => table("Everything that uses the network", value.columns, value.rows, withCommands)));
  }

  /** The ledger: what left, or tried to. */
  function ledger(element, props, server, watch) {
    const place = frame(element, "ledger-frame");
    bind(props, watch, (value) => refill(place, value.rows && value, () => h("div", {},
      h("p", { class: value.broken ? "headline" : "muted", role: value.broken ? "alert" : null }, value.summary),
      value.rows.length ? table("What left this computer", value.columns, value.rows) : null,
      value.rows.length ? h("button", { class: "small-button", type: "button",
        onclick: () => saveText("ledger.jsonl", value.lines, "application/jsonl") }, "Download the ledger") : null)));
  }

  /** The newest lines of the ledger, each in two short lines. */
  function left(element, props, server, watch) {
    const said = h("p", { class: "muted small" }), list = h("ol", { class: "plain left-lines", "aria-label": "What left last" }), onward = h("div");
    frame(element, "left-frame", said, list, onward);
    bind(props, watch, (value) => {
      say(said, value.summary || "");
      keyed(list, value.rows || [], () => h("li"), (node, row) => refill(node, row, () => h("div", {},
        h("div", {}, h("strong", { class: "numbers" }, row.what), h("span", { class: "tag", "data-tone": row.tone }, row.outcome)),
        h("div", { class: "muted small numbers" }, row.where, " · ", h("span", { class: "mono" }, row.sha256)))));
      refill(onward, value.go, goButton);
    });
  }

  /** A few words of the page's own that may change; a screen reader says them then. */
  function words(element, props, server, watch) {
    const place = h("p", { class: "count", "aria-live": "polite" });
    frame(element, "words-frame", place);
    bind(props, watch, (value) => say(place, value.text || ""));
  }

  /** A sentence or two of the page's own, in a panel, or nothing. */
  function notice(element, props, server, watch) {
    const place = frame(element, "notice-frame");
    bind(props, watch, (value) => refill(place, value.title && value, () => h("div", { class: "panel", "data-tone": value.tone || "plain" },
      h("p", { class: "headline" }, value.title), h("p", { class: "muted" }, value.text),
      value.command ? h("code", { class: "command" }, value.command) : null,
      value.go ? goButton(value.go) : null)));
  }

  /** What a training would take: the verdict, the time, and what the memory is made of. */
  function forecast(element, props, server, watch) {
    const place = frame(element, "notice-frame");
    bind(props, watch, (value) => refill(place, value.headline && value, () => h("div", { class: "panel", "data-tone": value.tone, role: "status" },
      h("p", { class: "headline" }, value.headline), value.lines.map((line) => h("p", { class: "muted" }, line)),
      h("details", {}, h("summary", {}, value.title), table(value.title, value.columns, value.parts)))));
  }

  /** A row as it is learned: what is given, and, marked, what is learned. */
  function trainingRow(row, number) {
    return h("li", {}, h("p", { class: "muted numbers" }, `Row ${number + 1}, ${row.tokens} tokens${row.cut ? ", cut" : ""}`),
      h("pre", { class: "code", tabindex: "0", "aria-label": `Row ${number + 1}` }, row.prompt, h("mark", {}, row.completion)));
  }

  /** The first rows of a training, fetched when the list is opened. */
  function trainingRows(element, props, server, watch) {
    const summary = h("summary"), words = h("p", { class: "muted" }), list = h("ol", { class: "plain" });
    const details = h("details", { class: "training-rows", hidden: true }, summary, words, list);
    frame(element, "notice-frame", details);
    async function fill() {
      if (!details.open) return;
      const answer = await ask(server.show_rows(null));
      if (answer.rows) list.replaceChildren(...answer.rows.map(trainingRow));
    }
    details.addEventListener("toggle", fill);
    bind(props, watch, (value) => {
      details.hidden = !value.summary;
      say(summary, value.summary || "");
      say(words, `${value.text || ""} Only what is marked is learned.`);
      fill();
    });
  }

  return {
    header, records, shareList, preview, report, payload, augmenting, review, training, adapters, twoRuns, answers, samples, chat, models, bases,
    findings, notice, forecast, trainingRows, words, waysOut, ledger, left, plot, working, votes, brought, barInSight,
  };
})();
