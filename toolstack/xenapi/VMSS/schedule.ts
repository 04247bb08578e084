/** When a schedule's snapshots are due: in the host's local time, at a quarter of an hour. */
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';

export type Frequency = 'hourly' | 'daily' | 'weekly';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** Keys, what they may be, and what they are if nobody says. */
const KEYS: Record<string, { valid: (value: string) => boolean; otherwise: string }> = {
  min: { valid: (value) => ['0', '15', '30', '45'].includes(value), otherwise: '0' },
  hour: { valid: (value) => /^(1?\d|2[0-3])$/.test(value), otherwise: '0' },
  days: { valid: (value) => value.split(',').every((day) => DAYS.includes(day)), otherwise: 'Monday' },
};
const NEEDED: Record<Frequency, string[]> = {
  hourly: ['min'],
  daily: ['hour', 'min'],
  weekly: ['hour', 'min', 'days'],
};

export function checkPair(key: string, value: string): void {
  if (!Object.hasOwn(KEYS, key)) throw new Failure('INVALID_VALUE', 'schedule', key);
  if (!KEYS[key].valid(value)) throw new Failure('INVALID_VALUE', `schedule:${key}`, value);
}

/** What a frequency needs of it, with defaults for what is missing. */
export function complete(frequency: Frequency, schedule: Record<string, string>): Record<string, string> {
  return Object.fromEntries(NEEDED[frequency].map((key) => [key, schedule[key] ?? KEYS[key].otherwise]));
}

/** A new schedule has nothing but what its frequency needs. */
export function checkWhole(frequency: Frequency, schedule: Record<string, string>): void {
  for (const [key, value] of Object.entries(schedule)) {
    if (!NEEDED[frequency].includes(key)) throw new Failure('INVALID_VALUE', 'schedule', key);
    checkPair(key, value);
  }
}

/** The last moment until now at which it was due. */
export function lastDue(row: Row, now: Date): Date {
  const frequency = row.text('frequency') as Frequency;
  const { min, hour, days } = complete(frequency, row.map('schedule'));
  const time = new Date(now);
  if (frequency === 'hourly') {
    time.setMinutes(Number(min), 0, 0);
    if (time > now) time.setHours(time.getHours() - 1);
    return time;
  }
  const on = frequency === 'daily' ? DAYS : days.split(',');
  for (let back = 0; ; back++) {
    const day = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back, Number(hour), Number(min));
    if (day <= now && on.includes(DAYS[day.getDay()])) return day;
  }
}
