/**
 * What the floors above ask of the kernel's sockets: system calls as functions of numbers.
 *
 * Decision. Each returns a count, or a negative errno: EAGAIN is no error, and an Error costs more
 * than the call. Bytes go through the slab (net_layout.h), or are read where they stand.
 */

/** Offsets and constants, as the addon itself states them. */
export interface NetLayout {
  readonly slabBytes: number;
  readonly receiveBytes: number;
  readonly sendBytes: number;
  readonly addressOffset: number;
  readonly family: number;
  readonly port: number;
  readonly ipv4: number;
  readonly rawLength: number;
  readonly raw: number;
  readonly datagramSlabBytes: number;
  readonly datagramBytes: number;
  readonly datagramBatch: number;
  readonly datagramRecords: number;
  readonly datagramRecordBytes: number;
  readonly datagramLength: number;
  readonly datagramSend: number;
  readonly datagramSendBytes: number;
  readonly datagramSendRecords: number;
  readonly datagramOutcome: number;
  readonly datagramAddress: number;
  readonly reuseAddress: number;
  readonly reusePort: number;
  readonly keepAlive: number;
  readonly noDelay: number;
  readonly ipv6Only: number;
  readonly broadcast: number;
  readonly multicastTtl: number;
  readonly multicastLoopback: number;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  readonly linger: number;
  readonly ttl: number;
  readonly EAGAIN: number;
  readonly EINPROGRESS: number;
  readonly ECONNABORTED: number;
  readonly EMFILE: number;
  readonly ENFILE: number;
  readonly ENOBUFS: number;
  readonly ENOMEM: number;
}

/** 4, 6, or 1 for a path. */
export type FamilyNumber = 4 | 6 | 1;

export interface Sockets {
  readonly layout: NetLayout;
  /** Returns where in it the slab begins. */
  attach(memory: ArrayBuffer): number;
  /** Into the slab. 0: the end. `read` is for fds that are no sockets, as `write` is. */
  receive(fd: number): number;
  receiveInto(fd: number, target: Uint8Array, offset: number): number;
  read(fd: number): number;
  /** From the slab. */
  send(fd: number, offset: number, length: number): number;
  sendBytes(fd: number, bytes: Uint8Array, offset: number): number;
  /** The first `skip` bytes of the first part were sent before. */
  sendVector(fd: number, parts: readonly Uint8Array[], skip: number): number;
  write(fd: number, offset: number, length: number): number;
  writeBytes(fd: number, bytes: Uint8Array, offset: number): number;
  writeVector(fd: number, parts: readonly Uint8Array[], skip: number): number;
  sendFile(outFd: number, inFd: number, offset: number, count: number): number;
  /** No more is sent. */
  shutdown(fd: number): number;
  /** What `open` and `accept` have made and nobody has closed is closed when the thread ends. */
  close(fd: number): number;
  /** As if it had been opened here: made non-blocking, and closed when the thread ends. */
  adopt(fd: number): number;
  /** Somebody else closes it from now on. */
  release(fd: number): number;
  open(family: FamilyNumber, datagram: boolean): number;
  setOption(fd: number, option: number, family: FamilyNumber, value: number): number;
  bind(fd: number, family: FamilyNumber, address: string, port: number): number;
  connect(fd: number, family: FamilyNumber, address: string, port: number): number;
  membership(
    fd: number,
    join: boolean,
    family: FamilyNumber,
    group: string,
    interfaceName: string,
  ): number;
  multicastInterface(fd: number, family: FamilyNumber, interfaceName: string): number;
  listen(fd: number, backlog: number): number;
  /** The peer's address is in the address page. */
  accept(fd: number): number;
  localName(fd: number): number;
  peerName(fd: number): number;
  /** The error that is pending: zero, or a negative errno. */
  socketError(fd: number): number;
  /** S_IFMT of the fd. */
  fileType(fd: number): number;
  /** The text of what is in the address page. */
  addressText(): string;
  /** Into the address page. false: not an address. */
  parseAddress(family: FamilyNumber, address: string, port: number): boolean;
  /** Into the datagram slab: how many. With fewer of them each has a larger place. */
  receiveBatch(fd: number, count: number): number;
  /** From the datagram slab: how many were sent or failed; there is no room for the rest. */
  sendBatch(fd: number, count: number, segmented: boolean): number;
  /** Whether runs of datagrams may cross the kernel as one. */
  canSegment(fd: number): boolean;
  /** To the address in the first record: zero, or a negative errno. */
  sendDatagram(fd: number, bytes: Uint8Array): number;
  /** For tests; per mille, seed 0: off. */
  injectFaults(seed: number, interrupted: number, again: number, short: number): void;
}
