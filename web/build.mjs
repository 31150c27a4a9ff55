// Bundles the pages into service/static, and the tests of their pure functions into .build.
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "service", "static");
const assets = join(target, "assets");
const browsers = ["chrome123", "firefox125", "safari17.5"];

/** KaTeX names each font in three forms; every browser that runs this reads WOFF2. */
const woff2Only = {
  name: "woff2-only",
  setup({ onLoad }) {
    onLoad({ filter: /katex\.min\.css$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(/,url\([^)]*\.(?:woff|ttf)\) format\("[a-z]+"\)/g, ""),
      loader: "css",
    }));
  },
};

async function bundle(options) {
  const { metafile } = await build({
    absWorkingDir: here,
    bundle: true,
    minify: true,
    format: "esm",
    target: browsers,
    metafile: true,
    outdir: assets,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    loader: { ".woff2": "file", ".svg": "copy" },
    logLevel: "warning",
    ...options,
  });
  const outputs = Object.entries(metafile.outputs).map(([path, output]) => ({ name: basename(path), ...output }));
  return (entry, extension) => {
    const found = outputs.find((output) => output.entryPoint === entry && output.name.endsWith(extension));
    const css = outputs.find((output) => output.entryPoint === entry)?.cssBundle;
    return `/assets/${extension === ".css" && css ? basename(css) : found.name}`;
  };
}

function page(language, text, { script, style, icon }) {
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${text.description}">
<title>Perceptron</title>
<link rel="icon" href="${icon}" type="image/svg+xml">
<link rel="stylesheet" href="${style}">
<script type="module" src="${script}"></script>
</head>
<body><div id="app"></div><noscript>${text.noscript}</noscript></body>
</html>
`;
}

const texts = {
  en: {
    description: "See a neural network learn: your data, real jobs, every number.",
    noscript: "These pages need JavaScript. The API documentation is at /docs.",
  },
  ko: {
    description: "신경망이 배우는 모습을 보세요: 내 데이터, 실제 작업, 모든 숫자.",
    noscript: "이 페이지에는 JavaScript가 필요합니다. API 문서는 /docs에 있습니다.",
  },
};

async function compress(path) {
  const body = await readFile(path);
  await Promise.all([
    promisify(gzip)(body, { level: 9 }).then((packed) => writeFile(`${path}.gz`, packed)),
    promisify(brotliCompress)(body).then((packed) => writeFile(`${path}.br`, packed)),
  ]);
}

async function buildPages() {
  await rm(target, { recursive: true, force: true });
  await mkdir(assets, { recursive: true });
  const formulas = await bundle({ entryPoints: ["src/formulas.css"], plugins: [woff2Only] });
  const icon = await bundle({ entryPoints: ["src/icon.svg"] });
  const main = await bundle({
    entryPoints: ["src/main.tsx"],
    splitting: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { FORMULAS_CSS: JSON.stringify(formulas("src/formulas.css", ".css")) },
  });
  for (const name of await readdir(assets)) {
    if (/\.(js|css|svg)$/.test(name)) await compress(join(assets, name));
  }
  const files = { script: main("src/main.tsx", ".js"), style: main("src/main.tsx", ".css"), icon: icon("src/icon.svg", ".svg") };
  for (const [language, text] of Object.entries(texts)) {
    await writeFile(join(target, `index.${language}.html`), page(language, text, files));
  }
}

async function buildTests() {
  const names = (await readdir(join(here, "test"))).filter((name) => name.endsWith(".ts"));
  await rm(join(here, ".build"), { recursive: true, force: true });
  await build({
    absWorkingDir: here,
    entryPoints: names.map((name) => `test/${name}`),
    bundle: true,
    platform: "node",
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    outdir: ".build",
    outExtension: { ".js": ".mjs" },
    define: { FORMULAS_CSS: '""' },
    logLevel: "warning",
  });
}

await Promise.all([buildPages(), buildTests()]);
