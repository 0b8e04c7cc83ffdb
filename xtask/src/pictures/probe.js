// Finds what a reader of this page would complain about, and writes it to the parent
// page, whose frame shows this page.
const findings = [];
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  findings.push(`the page is ${root.scrollWidth} wide on ${root.clientWidth} pixels`);
}
const shown = (element) => element.getBoundingClientRect().width > 0;
const pictures = [...document.querySelectorAll("svg")].filter(shown);
const headings = document.querySelectorAll("h2").length;
if (pictures.length !== headings) {
  findings.push(`${pictures.length} pictures for ${headings} headings`);
}
const touches = (a, b) =>
  a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
for (const picture of pictures) {
  const area = picture.getBoundingClientRect();
  const texts = [...picture.querySelectorAll("text")];
  const places = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  places.forEach(([name, place], index) => {
    if (place.left < area.left - 1 || place.right > area.right + 1) {
      findings.push(`"${name}" is beyond the picture`);
    }
    if (place.height < 10) {
      findings.push(`"${name}" is ${place.height} pixels high`);
    }
    for (const [other, there] of places.slice(index + 1)) {
      if (touches(place, there)) {
        findings.push(`"${name}" touches "${other}"`);
      }
    }
  });
}
const luminance = (colour) => {
  const [red, green, blue] = colour.match(/[\d.]+/g).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const background = getComputedStyle(document.body).backgroundColor;
const colourOf = (element, kind) => {
  const style = getComputedStyle(element);
  return style[kind] === "none" ? null : style[kind];
};
for (const picture of pictures) {
  for (const element of picture.querySelectorAll("text, path:not(.background, .grid)")) {
    const colour = colourOf(element, "stroke") ?? colourOf(element, "fill");
    // WCAG asks for a contrast of 4.5 for text, and of 3 for graphics. SYNs that were
    // counted but not refused are drawn paler on purpose.
    const least = element.matches("text") ? 4.5 : element.matches(".counted") ? 2 : 3;
    if (contrast(colour, background) < least) {
      findings.push(`${element.getAttribute("class")} is ${colour} on ${background}`);
    }
  }
}
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const report = parent.document.createElement("pre");
report.id = "findings";
report.textContent = [`dark: ${dark}`, `width: ${innerWidth}`, ...new Set(findings)].join("\n");
parent.document.body.replaceChildren(report);
