/**
 * The same exports for ES modules. One implementation, in CommonJS, serves both kinds of importers:
 * there is one loop for each thread, whoever imports it first.
 */
export * from './index.js';
