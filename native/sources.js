// Prints the addon's sources for binding.gyp; the list itself is sources.json.
'use strict';
const sources = require('./sources.json');
const selector = process.platform === 'linux' ? 'epoll' : 'kqueue';
const files = [...sources.core, ...sources.selector[selector], ...sources.binding];
process.stdout.write(files.map((file) => `native/${file}`).join(' '));
