// Imported first by every entry point: the process ends within a second of the launcher that started it.
import '../bin/parent.cjs';
