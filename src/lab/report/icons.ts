import type { Effect } from './effects.ts'
import { type Html, html } from './html.ts'

/** A drawing of 24 by 24, in the colour of the text beside it. */
export type Icon = Effect | 'unknown' | 'failure' | 'restart' | 'mended' | 'start' | 'end' | 'log'

/** The drawings, once at the page's beginning; `icon` refers to them. */
export const SPRITE: Html = html`<svg class="sprite" aria-hidden="true" focusable="false">
  <symbol id="i-kept" viewBox="0 0 24 24"><path d="M4 13l5.5 5.5L20 6.5" /></symbol>
  <symbol id="i-waited" viewBox="0 0 24 24">
    <path d="M6 3h12M6 21h12M7 3c0 5 4 6 5 9-1 3-5 4-5 9M17 3c0 5-4 6-5 9 1 3 5 4 5 9" />
  </symbol>
  <symbol id="i-recovered" viewBox="0 0 24 24"><path d="M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 3v4.5H15" /></symbol>
  <symbol id="i-undecided" viewBox="0 0 24 24"><path d="M5 12h.1M12 12h.1M19 12h.1" stroke-width="4" /></symbol>
  <symbol id="i-broken" viewBox="0 0 24 24"><path d="M5.5 5.5l13 13M18.5 5.5l-13 13" /></symbol>
  <symbol id="i-wrong" viewBox="0 0 24 24"><path d="M12 3.5L22 20.5H2zM12 10v4.5M12 17.6v.1" /></symbol>
  <symbol id="i-lost" viewBox="0 0 24 24"><path d="M12 3v11M7 10l5 5 5-5M4 21h3M10.5 21h3M17 21h3" /></symbol>
  <symbol id="i-unknown" viewBox="0 0 24 24"><path d="M5 12h14" /></symbol>
  <symbol id="i-failure" viewBox="0 0 24 24">
    <path d="M13.5 2L5 13.5h6L9.5 22 19 9.5h-6.5z" fill="currentColor" stroke="none" />
  </symbol>
  <symbol id="i-restart" viewBox="0 0 24 24"><path d="M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 3v4.5H15" /></symbol>
  <symbol id="i-mended" viewBox="0 0 24 24"><path d="M12 4v16M4 12h16" stroke-width="4" /></symbol>
  <symbol id="i-start" viewBox="0 0 24 24"><path d="M6 3.5L20 12 6 20.5z" fill="currentColor" stroke="none" /></symbol>
  <symbol id="i-end" viewBox="0 0 24 24"><path d="M5 5h14v14H5z" fill="currentColor" stroke="none" /></symbol>
  <symbol id="i-log" viewBox="0 0 24 24"><circle cx="12" cy="12" r="5" fill="currentColor" stroke="none" /></symbol>
</svg>`

/** Decoration: words say the same beside it. */
export function icon(name: Icon): Html {
  return html`<svg class="icon" aria-hidden="true"><use href="#i-${name}" /></svg>`
}
