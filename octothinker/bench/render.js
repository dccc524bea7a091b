// Real renderers behind lines of JSON. node render.js FOLDER-WITH-node_modules
//   {"op": "render", "tex", "display"} -> {"katex", "temml", "temml_bare", "mathjax2", "mathjax3", "error"?}
//   {"op": "mathml", "tex", "display"} -> {"mathml": KaTeX's MathML of it, or null when KaTeX cannot read it}
"use strict";
const path = require("path");
const load = require("module").createRequire(path.resolve(process.argv[2]) + "/");
const katex = load("katex");
const temml = load("temml");
const { mathjax } = load("mathjax-full/js/mathjax.js");
const { TeX } = load("mathjax-full/js/input/tex.js");
const { CHTML } = load("mathjax-full/js/output/chtml.js");
const { liteAdaptor } = load("mathjax-full/js/adaptors/liteAdaptor.js");
const { RegisterHTMLHandler } = load("mathjax-full/js/handlers/html.js");
const { AssistiveMmlHandler } = load("mathjax-full/js/a11y/assistive-mml.js");
const { AllPackages } = load("mathjax-full/js/input/tex/AllPackages.js");
const mathjax2 = load("mathjax-node");

const adaptor = liteAdaptor();
AssistiveMmlHandler(RegisterHTMLHandler(adaptor));
const packages = AllPackages.filter((name) => name !== "noerrors" && name !== "noundefined");
const page = mathjax.document("", { InputJax: new TeX({ packages }), OutputJax: new CHTML({ fontURL: "" }) });
mathjax2.config({ displayErrors: false, MathJax: {} });

function mathml(tex, display) {
  const options = { displayMode: display, output: "mathml", throwOnError: true, strict: "ignore", trust: false };
  return katex.renderToString(tex, options);
}

// mathjax-node crashes on \cancel and \phantom, and its promise then never settles: those go without its HTML, as a page
// does whose script has not run.
async function withMathjax2(tex, display) {
  if (/\\(cancel|phantom)/.test(tex)) return "";
  const { html } = await mathjax2.typeset({ math: tex, format: display ? "TeX" : "inline-TeX", html: true });
  return html || "";
}

async function render({ tex, display }) {
  const two = await withMathjax2(tex, display);
  const three = adaptor.outerHTML(page.convert(tex, { display }));
  if (three.includes("data-mjx-error")) throw new Error("MathJax 3: " + three.match(/data-mjx-error="([^"]*)"/)[1]);
  return {
    katex: katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: "ignore" }),
    katex_mathml: mathml(tex, display),
    temml: temml.renderToString(tex, { displayMode: display, annotate: true, throwOnError: true }),
    temml_bare: temml.renderToString(tex, { displayMode: display, annotate: false, throwOnError: true }),
    mathjax2: two,
    mathjax3: three,
  };
}

async function answer(request) {
  try {
    if (request.op === "mathml") return { mathml: mathml(request.tex, request.display) };
    return await render(request);
  } catch (error) {
    return request.op === "mathml" ? { mathml: null } : { error: String(error.message || error) };
  }
}

(async () => {  // all of the input at once: readline's iterator answered 2,202 of 6,096 lines
  const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
  for (const line of lines) process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
  process.stdout.write("", () => process.exit(0));
})();
