import { EFFECTS, WORST_FIRST } from './effects.ts'

/**
 * What the page does beyond what markup alone does: a link of the matrix opens its cell and moves the focus there; arrow keys go
 * from cell to cell; the matrix can be shown for one kind of consumer; printing opens everything. Without it all can still be read.
 */
export const SCRIPT = `
'use strict';
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const reveal = (id) => {
  const target = document.getElementById(id);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  target.scrollIntoView({ block: 'start' });
  target.focus({ preventScroll: true });
};
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  history.pushState(null, '', link.hash);
  reveal(link.hash.slice(1));
});
addEventListener('popstate', () => reveal(location.hash.slice(1)));
if (location.hash) reveal(location.hash.slice(1));

const table = document.querySelector('.matrix');
table?.addEventListener('keydown', (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest('td, th');
  if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey) return;
  let row = cell.parentElement.rowIndex + step[0], column = cell.cellIndex + step[1];
  for (; table.rows[row]?.cells[column]; row += step[0], column += step[1]) {
    const link = table.rows[row].cells[column].querySelector('a');
    if (!link) continue;
    event.preventDefault();
    link.focus();
    return;
  }
});

const words = ${JSON.stringify(Object.fromEntries(Object.entries(EFFECTS).map(([effect, { few }]) => [effect, few])))};
const effects = ${JSON.stringify(WORST_FIRST)};
const as = document.getElementById('as');
if (as) {
  document.getElementById('tools').hidden = false;
  const cells = all('a[data-effects]').map((link) => ({
    link, use: link.querySelector('use'), text: link.querySelector('.words'), number: link.querySelector('.number'), first: link.className.split(' ')[1],
    words: link.querySelector('.words').textContent, each: link.dataset.effects.split(' '),
  }));
  const show = () => {
    const one = as.selectedIndex - 1;
    for (const { link, use, text, number, first, words: before, each } of cells) {
      const effect = one < 0 ? first : words[each[one]] ? each[one] : 'unknown';
      link.className = 'cell ' + effect;
      use.setAttribute('href', '#i-' + effect);
      number.hidden = one >= 0;
      text.textContent = one < 0 ? before : words[effect] ?? 'not tried';
      all('i', link).forEach((dot, index) => dot.classList.toggle('dim', one >= 0 && index !== one));
    }
    const times = (effect) => cells.filter(({ each }) => each[one] === effect).length;
    document.getElementById('as-told').textContent = one < 0 ? '' :
      effects.filter(times).reverse().map((effect) => words[effect] + ': ' + times(effect)).join(', ');
  };
  as.addEventListener('change', show);
  show();
}

let opened = [];
addEventListener('beforeprint', () => { opened = all('details:not([open])'); for (const one of opened) one.open = true; });
addEventListener('afterprint', () => { for (const one of opened) one.open = false; });
`
