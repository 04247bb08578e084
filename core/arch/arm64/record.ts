// The recording builder of A64: nothing to add to what every architecture has.
import { RecordBase } from '../../engine/record_base';

@final
@unmanaged
export class Arm64Record extends RecordBase {}
