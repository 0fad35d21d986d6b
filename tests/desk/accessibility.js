() => {
  const faults = [];
  const told = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 120);
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    return box.width > 1 && box.height > 1 && style.visibility !== "hidden" && !element.closest("[aria-hidden=true]");
  };

  // language, title, landmarks, headings
  if (!document.documentElement.lang) faults.push("no language");
  if (!["ltr", "rtl"].includes(document.documentElement.dir)) faults.push("no direction");
  if (!document.title.trim()) faults.push("no title");
  if (document.querySelectorAll("main").length !== 1) faults.push("not exactly one main");
  if (document.querySelectorAll("body > header").length !== 1) faults.push("not exactly one banner");
  const named = [...document.querySelectorAll("nav")].map((nav) => nav.getAttribute("aria-label"));
  if (named.includes(null) || new Set(named).size !== named.length) faults.push("navigations without a name of their own");
  const levels = [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((heading) => +heading.tagName[1]);
  if (levels.filter((level) => level === 1).length !== 1) faults.push(`${levels.filter((l) => l === 1).length} h1`);
  levels.forEach((level, at) => {
    if (at && level > levels[at - 1] + 1) faults.push(`h${level} after h${levels[at - 1]}`);
  });

  // ids and what refers to them
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => faults.push(`id ${id} twice`));
  for (const name of ["aria-labelledby", "aria-describedby", "for", "list"]) {
    document.querySelectorAll(`[${name}]`).forEach((element) =>
      element.getAttribute(name).split(" ").forEach((id) => {
        if (!document.getElementById(id)) faults.push(`${name} names nobody: ${told(element)}`);
      }));
  }

  // names of what can be used, and of pictures
  const name = (element) => {
    const by = (element.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id));
    const text = by.map((one) => (one ? one.textContent : "")).join(" ").trim();
    const labels = element.labels ? [...element.labels].map((label) => label.textContent).join(" ").trim() : "";
    return text || element.getAttribute("aria-label") || labels || element.textContent.trim();
  };
  document.querySelectorAll("input:not([type=hidden]),select,textarea,button,a[href],[tabindex='0']").forEach((element) => {
    if (element.closest("[aria-hidden=true]")) return;
    const own = ["INPUT", "SELECT", "TEXTAREA"].includes(element.tagName);
    const label = own ? (element.labels && element.labels.length) || element.getAttribute("aria-label") : name(element);
    if (!label && element.tagName !== "PRE") faults.push(`no name: ${told(element)}`);
  });
  document.querySelectorAll("svg").forEach((svg) => {
    const isHidden = svg.closest("[aria-hidden=true]");
    if (!isHidden && !(svg.getAttribute("role") === "img" && svg.querySelector("title"))) faults.push(`svg: ${told(svg)}`);
  });

  // tables
  document.querySelectorAll("table").forEach((table) => {
    if (![...table.querySelectorAll("th")].every((cell) => cell.scope)) faults.push(`th without scope: ${told(table)}`);
    if (!table.querySelector("caption") && !table.closest("[role=region][aria-labelledby],[role=region][aria-label]"))
      faults.push(`table without a name: ${told(table)}`);
  });

  // size of what is pressed
  document.querySelectorAll("button,input:not([type=hidden]):not([type=radio]),select,nav a").forEach((element) => {
    const box = element.getBoundingClientRect();
    if (seen(element) && (box.height < 24 || box.width < 24)) faults.push(`small: ${told(element)} ${box.height}`);
  });

  // contrast of every text
  const parse = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    if (text.startsWith("color(srgb")) return [found[0] * 255, found[1] * 255, found[2] * 255, found[3] ?? 1];
    return [found[0], found[1], found[2], found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const stack = [];
    for (let one = element; one; one = one.parentElement) stack.push(parse(getComputedStyle(one).backgroundColor));
    const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return stack.reverse().reduce((below, top) => over(top, below), canvas);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(element)) continue;
    if (["SCRIPT", "STYLE", "OPTION", "TITLE", "DESC"].includes(element.tagName.toUpperCase())) continue;
    const style = getComputedStyle(element);
    const behind = ground(element);
    const ink = over(parse(element.closest("svg") ? style.fill : style.color), behind);
    const [dark, bright] = [light(ink), light(behind)].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5))
      faults.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.textContent.trim().slice(0, 40)} ${style.color}`);
  }

  if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
    faults.push(`wider than the window: ${document.documentElement.scrollWidth} > ${document.documentElement.clientWidth}`);
  return faults;
}
