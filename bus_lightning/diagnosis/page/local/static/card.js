// Show a model card: the Markdown that bundles have, which is headings, paragraphs, lists, tables, bold and code.

import { make } from "./elements.js";

// Bold, thin, code or a link; none begins or ends at a character with a backslash before it, which stands for itself.
const INLINE =
  /\\.|\*\*((?:\\.|[^*\\])+)\*\*|\*((?:\\.|[^*\\])+)\*|`([^`]+)`|\[((?:\\.|[^\]\\])+)\]\((https?:[^)\s]+)\)/g;

export function showCard(place, text) {
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.split("\n").filter((line) => line.trim());
    if (lines.length) place.append(...showBlock(lines));
  }
}

function showBlock(lines) {
  const heading = /^(#{1,5}) +(.*)/.exec(lines[0]);
  if (heading) {
    const level = Math.min(heading[1].length + 1, 6); // the page has the first level
    const rest = lines.slice(1);
    return [make(`h${level}`, {}, ...inline(heading[2])), ...(rest.length ? showBlock(rest) : [])];
  }
  if (lines[0].startsWith("|")) return [showTable(lines)];
  if (/^[-*] /.test(lines[0])) return [showList(lines)];
  return [make("p", {}, ...inline(lines.join(" ")))];
}

function showTable([head, , ...rows]) {
  const cells = (line, kind) => {
    const texts = line.replace(/^\||\|$/g, "").split(/(?<!\\)\|/);
    return make("tr", {}, ...texts.map((text) => make(kind, {}, ...inline(text.trim().replaceAll("\\|", "|")))));
  };
  const body = make("tbody", {}, ...rows.map((row) => cells(row, "td")));
  return make("table", {}, make("thead", {}, cells(head, "th")), body);
}

function showList(lines) {
  const items = [];
  for (const line of lines) {
    if (/^[-*] /.test(line)) items.push(line.slice(2));
    else items.push(`${items.pop()} ${line.trim()}`);
  }
  return make("ul", {}, ...items.map((item) => make("li", {}, ...inline(item))));
}

function inline(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, strong, emphasis, code, label, address] = match;
    parts.push(plain(text.slice(end, match.index)));
    if (strong) parts.push(make("strong", {}, plain(strong)));
    else if (emphasis) parts.push(make("em", {}, plain(emphasis)));
    else if (code) parts.push(make("code", {}, code));
    else if (label) parts.push(make("a", { href: address, rel: "noreferrer", target: "_blank" }, plain(label)));
    else parts.push(plain(whole)); // a backslash and its character
    end = match.index + whole.length;
  }
  return [...parts, plain(text.slice(end))];
}

// Remove the backslash before a character that Markdown would read.
function plain(text) {
  return text.replace(/\\([!-/:-@[-`{-~])/g, "$1");
}
