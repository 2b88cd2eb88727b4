// The site: so many pages on so many hosts, each with links and perhaps some trouble. The same seed
// gives the same site.

/** How many pages of a thousand are of which kind; all others are fast. */
const TROUBLE = [
  ['slow', 50],
  ['busy', 40],
  ['missing', 20],
  ['hanging', 10],
];

const LINKS_MAX = 8;
const REFUSALS_MAX = 3;

// xorshift32: whole numbers from `from` to `to`.
function seededRandom(seed) {
  let x = seed >>> 0 || 1;
  return (from, to) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return from + ((x >>> 0) % (to - from + 1));
  };
}

function kindOf(perMille) {
  for (const [kind, share] of TROUBLE) {
    if (perMille < share) return kind;
    perMille -= share;
  }
  return 'fast';
}

function makePage(id, hosts, random) {
  // Everything begins with the first page.
  const kind = id === 0 ? 'fast' : kindOf(random(0, 999));
  return {
    id,
    path: `/page/${id}`,
    host: random(0, hosts - 1),
    kind,
    delayMs: kind === 'slow' ? random(100, 300) : random(5, 25),
    /** How often it answers 503 before it works. */
    refusals: kind === 'busy' ? random(1, REFUSALS_MAX) : 0,
    links: [],
  };
}

/**
 * @param hosts - how many there are
 * @returns the pages; a page's `host` and its `links` are numbers of hosts and pages
 */
export function makeSite({ pages: count, seed, hosts }) {
  const random = seededRandom(seed);
  const pages = Array.from({ length: count }, (_, id) => makePage(id, hosts, random));
  const readable = pages.filter(({ kind }) => kind !== 'missing' && kind !== 'hanging');
  // An earlier page that can be read links to each one, so that there is a way to all of them.
  let earlier = 0;
  for (const { id } of pages.slice(1)) {
    while (earlier + 1 < readable.length && readable[earlier + 1].id < id) earlier++;
    readable[random(0, earlier)].links.push(id);
  }
  // The others are there to be met twice.
  for (const { links } of readable) {
    for (let more = random(0, LINKS_MAX); more > 0; more--) links.push(random(0, count - 1));
  }
  return pages;
}
