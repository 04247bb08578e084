// Many damaged headers and tables: the unit test beside the formats, with more of them.
process.env.XENOLITH_DAMAGED = '20000';
await import('../../services/block/image/damage.test.ts');
