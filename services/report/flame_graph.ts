// A flame graph as one SVG file: boxes as wide as their share of the time, the widest first, callees above callers; the name is shown when the pointer is
// over a box. No script, so it is safe to open and to mail.

interface Node {
  name: string;
  weight: number;
  children: Map<string, Node>;
}

export interface Stack {
  readonly frames: readonly string[];
  readonly weight: number;
}

const WIDTH = 1200;
const ROW = 17;
const MARGIN = 12;
const HEADER = 52;
/** Narrower boxes are left out. */
const SMALLEST = 0.3;
/** Width of a character of the 11-pixel font. */
const CHARACTER = 6.2;

function tree(stacks: readonly Stack[]): Node {
  const root: Node = { name: 'all', weight: 0, children: new Map() };
  for (const { frames, weight } of stacks) {
    let node = root;
    node.weight += weight;
    for (const name of frames) {
      let child = node.children.get(name);
      if (!child) node.children.set(name, (child = { name, weight: 0, children: new Map() }));
      child.weight += weight;
      node = child;
    }
  }
  return root;
}

const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** A colour of the part's own range, the same for a name in every graph. */
function colour(part: string, name: string): string {
  let hash = 0;
  for (const c of name) hash = (hash * 31 + c.charCodeAt(0)) >>> 0;
  const vary = (from: number, range: number, shift: number): number => from + (((hash >>> shift) & 255) * range) / 255;
  const hue: Record<string, [number, number]> = { kernel: [8, 34], user: [95, 50], hypervisor: [205, 40] };
  const [from, range] = hue[part] ?? [45, 15];
  return `hsl(${vary(from, range, 0).toFixed(0)} ${vary(62, 22, 8).toFixed(0)}% ${vary(66, 10, 16).toFixed(0)}%)`;
}

const depth = (node: Node): number => 1 + Math.max(0, ...[...node.children.values()].map(depth));

interface Drawing {
  boxes: string[];
  scale: number;
  bottom: number;
  total: number;
}

function draw(d: Drawing, node: Node, part: string, x: number, level: number): void {
  const width = node.weight * d.scale;
  if (width < SMALLEST) return;
  const y = d.bottom - (level + 1) * ROW;
  const share = `${((100 * node.weight) / d.total).toFixed(2)} %`;
  const letters = Math.floor((width - 6) / CHARACTER);
  const name = node.name.length <= letters ? node.name : letters >= 3 ? `${node.name.slice(0, letters - 1)}…` : '';
  const label = name === '' ? '' : `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escape(name)}</text>`;
  d.boxes.push(
    `<g><title>${escape(node.name)}: ${node.weight} samples, ${share}</title>` +
      `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.2, width - 0.4).toFixed(1)}" height="${ROW - 1}" rx="2" ` +
      `fill="${level === 0 ? '#d8d4cc' : colour(part, node.name)}"/>${label}</g>`,
  );
  let at = x;
  for (const child of [...node.children.values()].sort((a, b) => b.weight - a.weight)) {
    draw(d, child, level === 0 ? child.name : part, at, level + 1);
    at += child.weight * d.scale;
  }
}

/** The picture of `stacks`, outermost frame first; the first frame chooses the colours. */
export function flameGraph(title: string, subtitle: string, stacks: readonly Stack[]): string {
  const root = tree(stacks);
  const bottom = HEADER + depth(root) * ROW + 4;
  const height = bottom + MARGIN;
  const scale = (WIDTH - 2 * MARGIN) / Math.max(1, root.weight);
  const drawing: Drawing = { boxes: [], scale, bottom, total: Math.max(1, root.weight) };
  draw(drawing, root, '', MARGIN, 0);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">`,
    '<style>text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#222;pointer-events:none}',
    'g:hover>rect{stroke:#222;stroke-width:1}.h{font:600 16px system-ui,sans-serif}.s{font:12px system-ui,sans-serif;fill:#555}</style>',
    `<rect width="100%" height="100%" fill="#faf9f7"/>`,
    `<text class="h" x="${MARGIN}" y="24">${escape(title)}</text>`,
    `<text class="s" x="${MARGIN}" y="42">${escape(subtitle)}</text>`,
    ...drawing.boxes,
    '</svg>',
    '',
  ].join('\n');
}
