/* What is asked of a page, as expressions that the browser evaluates: they are of its world, and have its types. */

/** Opens everything that is folded. */
export const UNFOLD = `document.querySelectorAll('details').forEach((details) => { details.open = true })`

/** Leaves two of the report's cells, which are all of one make, for looks that take long. */
export const TWO_CELLS = `document.querySelectorAll('#cells details.item').forEach((item, index) => index < 2 || item.remove())`

/** How far the page can be scrolled sideways, in pixels. */
export const SIDEWAYS_SCROLL = `document.documentElement.scrollWidth - document.documentElement.clientWidth`

/** The text of what has the focus. */
export const FOCUSED = `document.activeElement.textContent.replaceAll(/\\s+/g, ' ').trim()`

/** What `POOR_CONTRASTS` gives. */
export interface Contrasts {
  /** How many texts were looked at. */
  readonly seen: number
  /** Those that fall short: `2.1 "some text"`. */
  readonly poor: readonly string[]
}

/** Texts with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3) against what they stand on, SVG's texts too, which axe-core leaves out. */
export const POOR_CONTRASTS = `(() => {
  const parse = (text) => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (/rgba?\\(([^)]*)\\)/.exec(text)?.[1] ?? '0,0,0,0').split(/[ ,/]+/).map(Number)
    return [red, green, blue, alpha]
  }
  const over = ([r, g, b, a], [red, green, blue]) => [r * a + red * (1 - a), g * a + green * (1 - a), b * a + blue * (1 - a), 1]
  const groundOf = (element) => {
    const own = parse(getComputedStyle(element).backgroundColor)
    if (own[3] === 1) return own
    return over(own, element.parentElement === null ? [255, 255, 255, 1] : groundOf(element.parentElement))
  }
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const poor = new Set()
  let seen = 0
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const { parentElement: element, textContent: text } = walker.currentNode
    if (text.trim() === '' || element.matches('script, style, title, desc, option') || element.getClientRects().length === 0) continue
    seen += 1
    const ground = groundOf(element)
    const style = getComputedStyle(element)
    const ink = over(parse(element instanceof SVGElement ? style.fill : style.color), ground)
    const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a)
    const contrast = (light + 0.05) / (dark + 0.05)
    if (contrast < 4.5) poor.add(contrast.toFixed(1) + ' "' + text.trim().slice(0, 60) + '"')
  }
  return { seen, poor: [...poor] }
})()`

/** Runs axe-core, which must have been loaded; each rule that is broken, with the first elements that break it. `POOR_CONTRASTS` looks at more texts than its rule for contrast. */
export const AXE_VIOLATIONS = `axe.run({ rules: { 'color-contrast': { enabled: false } } }).then(({ violations }) =>
  violations.map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)).join(' | ')))`
