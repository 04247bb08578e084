import { define } from './notation.ts';

export const tunnel = define({
  name: 'tunnel',
  about: 'Packets of a network carried inside another',
  lifecycle: 'cowley',
  change: 'pool-operator',
  enums: {
    tunnel_protocol: 'gre vxlan',
  },
  fields: [
    ['uuid', 'RO', 'string', 'cowley'],
    ['access_PIF', 'ctor', 'PIF ref = Null', 'cowley', 'interface that has the inner packets'],
    ['transport_PIF', 'ctor', 'PIF ref = Null', 'cowley', 'interface that carries the outer ones'],
    ['status', 'RW', '(string -> string) map = {"active": "false"}', 'cowley', 'whether it works'],
    ['other_config', 'RW', '(string -> string) map = {}', 'cowley'],
    ['protocol', 'RW', 'enum tunnel_protocol = gre', '1.250.0', 'how packets are wrapped'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'PIF ref transport_PIF, network ref network, enum tunnel_protocol protocol = gre', 'tunnel ref', 'pool-operator', 'cowley', 'makes one over an interface'],
    ['destroy', 'tunnel ref self', 'void', 'pool-operator', 'cowley', 'removes it'],
  ],
  errors: {
    create: 'OPENVSWITCH_NOT_ACTIVE TRANSPORT_PIF_NOT_CONFIGURED IS_TUNNEL_ACCESS_PIF',
  },
});
