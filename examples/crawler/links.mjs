// The links of a page. One page has many spellings: relative or with its host, with a #fragment.

/** @returns the URLs that `text`, the page at `url`, links to, each in its one spelling */
export function linksIn(text, url) {
  const links = [...text.matchAll(/href="([^"]*)"/g)].map(([, href]) => new URL(href, url));
  for (const link of links) link.hash = '';
  return links.map((link) => link.href);
}
