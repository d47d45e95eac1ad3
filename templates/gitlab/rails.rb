# What poclab asks of GitLab where its API has no way: a token with a value that is known beforehand, and a password that
# need not be changed at the next login. Sent to `gitlab-rails runner -`, followed by one line for each thing to do.
def poclab_token(username, name, value, scopes)
  tokens = User.find_by_username(username).personal_access_tokens
  token = PersonalAccessToken.find_by_token(value) || tokens.build(name: name)
  token.set_token(value)
  token.assign_attributes(scopes: scopes, revoked: false, expires_at: 365.days.from_now)
  token.save!
  tokens.where(name: name).where.not(id: token.id).find_each(&:revoke!)
end

def poclab_password(username, value)
  user = User.find_by_username(username)
  user.assign_attributes(password: value, password_confirmation: value, password_automatically_set: false, password_expires_at: nil)
  user.save!
end
