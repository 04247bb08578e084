/**
 * Schema versions of the database's file: `UPGRADES[n]` leads from version n to n + 1, and is never changed once released.
 * Fields that come or go need none: what is not stored has its default, and what no class has any more is not read.
 */
import type { DatabaseSync } from 'node:sqlite';

export const UPGRADES: readonly ((db: DatabaseSync) => void)[] = [
  (db) => {
    db.exec(`
      CREATE TABLE object (
        ref TEXT PRIMARY KEY, class TEXT NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, record TEXT NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    `);
  },
  // Objects lack what is as their class begins; this is what it began with when they were written.
  (db) => db.exec('CREATE TABLE class (name TEXT PRIMARY KEY, defaults TEXT NOT NULL) WITHOUT ROWID'),
];
