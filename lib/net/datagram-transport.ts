/** DatagramTransport: see datagram.ts. */
export type DatagramTransport = {};
