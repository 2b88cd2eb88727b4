/**
 * One place for each file descriptor that is in use.
 *
 * Facts. The kernel gives out the lowest number that is free, so numbers are small and dense. A
 * program may ask for a high one all the same (dup2, fds that were inherited).
 * Decision. Pages of arrays without holes, which V8 keeps as plain memory; a page is made when the
 * first of its numbers is used.
 * Cost. 8 bytes for each number of a page that was ever used, 8 for each page up to the highest.
 */

const PAGE_BITS = 8;
const PAGE_SIZE = 2 ** PAGE_BITS;
const PAGE_MASK = PAGE_SIZE - 1;

export class FdTable<T> {
  private readonly pages: ((T | null)[] | null)[] = [];

  get(fd: number): T | null {
    const page = this.pages[fd >>> PAGE_BITS] ?? null;
    return page === null ? null : page[fd & PAGE_MASK]!;
  }

  /** @param fd - one that the kernel knows: the table grows up to it */
  set(fd: number, value: T): void {
    const index = fd >>> PAGE_BITS;
    while (this.pages.length <= index) this.pages.push(null);
    this.pages[index] ??= new Array<T | null>(PAGE_SIZE).fill(null);
    this.pages[index]![fd & PAGE_MASK] = value;
  }

  delete(fd: number): void {
    const page = this.pages[fd >>> PAGE_BITS] ?? null;
    if (page !== null) page[fd & PAGE_MASK] = null;
  }

  /** What is in it now, by number. */
  entries(): [fd: number, value: T][] {
    const found: [number, T][] = [];
    this.pages.forEach((page, index) => {
      page?.forEach((value, offset) => {
        if (value !== null) found.push([index * PAGE_SIZE + offset, value]);
      });
    });
    return found;
  }
}
