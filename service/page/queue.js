// Files are read a few at a time, in the order in which they were chosen.

const AT_ONCE = 2;

const waiting = [];
let underWay = 0;

/** Do a piece of work when its turn comes. */
export function enqueue(work) {
  waiting.push(work);
  next();
}

async function next() {
  if (underWay >= AT_ONCE || !waiting.length) return;
  underWay += 1;
  try {
    await waiting.shift()();
  } finally {
    underWay -= 1;
    next();
  }
}
