// What tests/lab.py looks at from inside the page of JupyterLab.
//
// JupyterLab is started with --expose-app-in-browser, which gives `jupyterapp`. Everything that the
// kernel says is overheard: an exception in a widget's callback is a message that JupyterLab shows
// to nobody, and "the kernel has done what the widget asked" is a message, too.
window.lab = (() => {
  const KINDS = {
    slider: ".widget-slider",
    dropdown: ".widget-dropdown",
    list: ".widget-select",
    toggles: ".widget-toggle-buttons",
    radio: ".widget-radio",
    checkbox: ".widget-checkbox",
    text: ".widget-text, .widget-textarea",
    button: "button.jupyter-button",
  };
  const ANY = Object.values(KINDS).join(", ");
  const errors = [];
  const asked = new Set(); // widget messages that the kernel is not done with
  let last = performance.now(); // of the last of them
  let ran = null; // of the last run: null while it goes on, then whether it came to its end

  const panel = () => jupyterapp.shell.currentWidget;
  const cells = () => panel().content.widgets;
  const kernel = () => panel().sessionContext.session.kernel;
  const session = () => panel()?.sessionContext?.session;
  const ready = () =>
    Boolean(panel()?.context?.isReady && session()?.kernel?.status === "idle" && cells().length);

  function overhear(_, { msg, direction }) {
    if (msg.header.msg_type === "comm_msg" && direction === "send") {
      asked.add(msg.header.msg_id);
      last = performance.now();
    } else if (msg.header.msg_type === "status" && msg.content.execution_state === "idle") {
      if (asked.delete(msg.parent_header.msg_id)) last = performance.now();
    } else if (msg.header.msg_type === "error") {
      errors.push(`${msg.content.ename}: ${msg.content.evalue}`);
    } else if (msg.header.msg_type === "stream" && /^Traceback \(most/m.test(msg.content.text)) {
      errors.push(msg.content.text.trim().split("\n").pop());
    }
  }

  const listen = () => kernel().anyMessage.connect(overhear);
  const quiet = (ms) => asked.size === 0 && performance.now() - last > ms;

  function run(command, at) {
    if (at !== undefined) panel().content.activeCellIndex = at;
    ran = null;
    jupyterapp.commands.execute(command).then((done) => (ran = Boolean(done)));
  }

  // Which cells ended badly, or were never run; the numbers of those that are still to come.
  function unfinished() {
    return cells().flatMap(({ model }, at) => {
      if (model.type !== "code" || !model.sharedModel.source.trim()) return [];
      const bad = model.outputs.toJSON().find((o) => o.output_type === "error");
      if (bad) return [{ at, why: `it raised ${bad.ename}: ${bad.evalue}` }];
      return model.executionCount === null ? [{ at, why: "it was not run" }] : [];
    });
  }

  // Outputs that say in the page that they could not be shown.
  function broken(at) {
    const seen = cells()[at].node.querySelectorAll(
      ".jupyter-widgets-error-widget, [data-mime-type='application/vnd.jupyter.error']",
    );
    return [...seen].map((e) => e.textContent.trim().slice(0, 300));
  }

  // Cells in whose output the page takes something for a formula, because it is between two dollar
  // signs: it has done so already, or it will when it comes to it.
  const IGNORED = "pre, code, script, style, .mathjax_ignore, .tex2jax_ignore";
  function formulas() {
    return cells().flatMap(({ model, node }, at) => {
      if (model.type !== "code") return [];
      const found = [...node.querySelectorAll(".jp-RenderedHTML, .widget-html-content")]
        .flatMap((e) => [...e.querySelectorAll("*"), e])
        .filter((e) => e.matches("mjx-container") || !e.closest(IGNORED))
        .find((e) => e.matches("mjx-container") ||
          [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && /\$[^$]+\$/.test(n.data)));
      if (!found) return [];
      const said = (found.closest("p, div, td") ?? found).textContent.trim().slice(0, 100);
      return [{ at, why: `what is between dollar signs becomes a formula: ${said}` }];
    });
  }

  // Code cells in whose output stands a widget.
  const withWidgets = () =>
    cells().flatMap((c, at) => (c.model.type === "code" && roots(at).length ? [at] : []));
  const roots = (at) =>
    [...cells()[at].node.querySelectorAll(".jupyter-widgets")].filter(
      (e) => !e.parentElement.closest(".jupyter-widgets"),
    );
  const inside = (at, selector) => roots(at).flatMap((r) => [
    ...(r.matches(selector) ? [r] : []),
    ...r.querySelectorAll(selector),
  ]);

  function controls(at) {
    const found = inside(at, ANY).filter((e) => !e.parentElement.closest(ANY));
    return found.map((e, number) => {
      e.dataset.lab = `${at}-${number}`;
      const kind = Object.keys(KINDS).find((k) => e.matches(KINDS[k]));
      const handle = e.querySelector("[role=slider]");
      const input = e.querySelector("input, select, textarea");
      const options = [...e.querySelectorAll("option, .widget-toggle-button, [type=radio]")];
      const label = e.querySelector(".widget-label")?.textContent || e.textContent;
      return {
        number,
        kind,
        label: label.trim(),
        tag: e.dataset.lab,
        disabled: Boolean(e.disabled || input?.disabled || e.querySelector(".noUi-origin[disabled]")),
        options: options.length,
        at: options.findIndex((o) => o.selected || o.checked || o.matches(".mod-active")),
        low: Number(handle?.ariaValueMin ?? 0),
        high: Number(handle?.ariaValueMax ?? 0),
        now: handle ? Number(handle.ariaValueNow) : null,
        number_box: input?.type === "number",
      };
    });
  }

  // Things that can be touched and that no kind above covers.
  const unknown = (at) =>
    inside(at, "input, select, textarea, button, [role=slider], [role=tab]")
      .filter((e) => !e.closest(ANY))
      .map((e) => e.outerHTML.slice(0, 200));

  // What the widgets of a cell say, as text and numbers, all but the control with this tag.
  function shown(at, tag) {
    const said = [];
    const walk = (node) => {
      if (node.nodeType === Node.TEXT_NODE) said.push(node.data);
      if (node.nodeType !== Node.ELEMENT_NODE || node.dataset.lab === tag) return;
      if (node.matches("svg")) said.push(node.outerHTML);
      else if (node.matches("img")) said.push(node.src);
      else if (node.matches("canvas")) said.push(node.toDataURL());
      else if (node.matches("input, select, textarea")) said.push(`${node.value} ${node.checked}`);
      else if (node.matches("[role=slider]")) said.push(node.ariaValueNow);
      if (node.matches("button")) said.push(`${node.disabled} ${node.matches(".mod-active")}`);
      node.childNodes.forEach(walk);
    };
    roots(at).forEach(walk);
    return said.join("|");
  }

  return {
    ready, listen, quiet, run, unfinished, formulas, broken, withWidgets, controls, unknown, shown,
    ran: () => ran,
    running: () => cells().findIndex((c) => c.model.executionState === "running"),
    source: (at) => cells()[at].model.sharedModel.source,
    close: () => panel().sessionContext.shutdown(),
    takeErrors: () => errors.splice(0),
  };
})();
