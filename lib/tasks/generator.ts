/**
 * Native generators, told apart and stepped without looking at them.
 *
 * Facts. Every generator function gives its objects a prototype, and so a hidden class, of their
 * own. Reading `.next` from them is a lookup with as many shapes as the program has coroutines.
 * Decision. `instanceof` walks prototypes, whatever the shape; `next` and `throw` are taken from
 * the common prototype once and called on the object.
 */

const GeneratorFunction = Object.getPrototypeOf(function* () {}) as { prototype: object };

/** `x instanceof GeneratorObject`: x is what a `function*` returned. */
export const GeneratorObject = function GeneratorObject() {} as unknown as {
  new (): Generator<unknown, any, any>;
};
GeneratorObject.prototype = GeneratorFunction.prototype;

const prototype = GeneratorFunction.prototype as Generator<unknown, any, any>;
const { next, throw: throwIn } = prototype;

/** `generator.next(value)` */
export function resumeGenerator<T>(
  generator: Generator<unknown, T, any>,
  value: unknown,
): IteratorResult<unknown, T> {
  return next.call(generator, value);
}

/** `generator.throw(error)` */
export function throwIntoGenerator<T>(
  generator: Generator<unknown, T, any>,
  error: unknown,
): IteratorResult<unknown, T> {
  return throwIn.call(generator, error);
}

/** Whether calling `value` makes a generator. */
export function isGeneratorFunction(value: object): value is () => Generator<unknown, any, any> {
  return Object.prototype.isPrototypeOf.call(GeneratorFunction, value);
}
