import { define } from './notation.ts';

export const session = define({
  name: 'session',
  about: "A client's login",
  lifecycle: 'rio',
  change: 'pool-admin',
  kind: 'unlisted',
  transient: true,
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['this_host', 'RO', 'host ref', 'rio', 'where the session was opened'],
    ['this_user', 'RO', 'user ref', 'rio', 'the local account, for sessions of local users'],
    ['last_active', 'RO', 'datetime', 'rio', 'when it was last used'],
    ['pool', 'RO', 'bool', 'rio', 'opened by another host of the pool'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
    ['is_local_superuser', 'RO', 'bool = false', 'george', "opened by the host's own administrator, to whom no role applies"],
    ['subject', 'RO', 'subject ref = Null', 'george', 'who opened it, when an external directory knows him'],
    ['validation_time', 'RO', 'datetime = 19700101T00:00:00Z', 'george', 'when the directory last confirmed the user'],
    ['auth_user_sid', 'RO', 'string = ""', 'george', "the directory's identifier of the user"],
    ['auth_user_name', 'RO', 'string = ""', 'midnight-ride', "the user's name in the directory"],
    ['rbac_permissions', 'ctor', 'string set = {}', 'midnight-ride', 'what its roles allow'],
    ['tasks', 'RO', 'task ref set', 'midnight-ride', 'work it has started'],
    ['parent', 'ctor', 'session ref = Null', 'midnight-ride', 'the session it was made from'],
    ['originator', 'RO', 'string = ""', 'clearwater', 'name by which an application tells its own sessions from others'],
    ['client_certificate', 'RO', 'bool = false', '21.2.0', 'opened by a TLS client certificate'],
  ],
  // prettier-ignore
  messages: [
    ['login_with_password', 'string uname, string pwd, string version = "1.1", string originator = ""', 'session ref', 'anyone', 'rio', 'opens a session by name and password'],
    ['logout', '', 'void', 'anyone', 'rio', 'ends the calling session'],
    ['change_password', 'string old_pwd, string new_pwd', 'void', 'local root', 'rio', 'gives the local account a new password'],
    ['slave_local_login_with_password', 'string uname, string pwd', 'session ref', 'pool-admin', 'miami', 'opens an emergency session on a member that has lost its coordinator'],
    ['create_from_db_file', 'string filename', 'session ref', 'local root', 'dundee', 'opens a session onto a database dump'],
    ['local_logout', '', 'void', 'pool-admin', 'miami', 'ends an emergency session'],
    ['get_all_subject_identifiers', '', 'string set', 'anyone', 'george', 'lists the users who have sessions'],
    ['logout_subject_identifier', 'string subject_identifier', 'void', 'pool-operator', 'george', "ends every session of a user but the caller's own"],
  ],
  errors: {
    login_with_password: 'SESSION_AUTHENTICATION_FAILED HOST_IS_SLAVE',
  },
  open: ['login_with_password', 'slave_local_login_with_password'],
});
